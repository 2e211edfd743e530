// Write new rows of keys or values into the caches of all layers, each row of the batch at its own position.
//
// fresh is [batch, layers, heads, added, width], each cache [batch, heads, places, width]; width counts
// words of 32 bits. Nothing is written for a negative position or beyond the last place.

typedef unsigned int u32;
typedef unsigned long long u64;

extern "C" __global__ void write_rows(
    const u64* caches, const u32* fresh, const int* positions,
    u32 batch, u32 layers, u32 heads, u32 added, u32 places, u32 width) {
    u64 index = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    u64 total = (u64)batch * layers * heads * added * width;
    if (index >= total) return;
    u64 rest = index;
    u32 word = rest % width; rest /= width;
    u32 step = rest % added; rest /= added;
    u32 head = rest % heads; rest /= heads;
    u32 layer = rest % layers;
    u32 row = rest / layers;
    int position = positions[row];
    if (position < 0 || (u32)position + step >= places) return;
    u32* cache = reinterpret_cast<u32*>(caches[layer]);
    cache[(((u64)row * heads + head) * places + position + step) * width + word] = fresh[index];
}

// Copy rows between arrays whose rows lie differently far apart: pairs holds a target and a source for each
// block of height rows; each block is copied by num_blocks thread blocks. Sizes count words.
template <typename Word>
static __device__ void copy_rows(
    const u64* pairs, u32 target_pitch, u32 source_pitch, u32 width, u32 height, u32 num_blocks) {
    u32 pair = blockIdx.x / num_blocks;
    u32 index = (blockIdx.x - pair * num_blocks) * blockDim.x + threadIdx.x;
    u32 row = index / width;
    if (row >= height) return;
    u32 word = index - row * width;
    Word* target = reinterpret_cast<Word*>(pairs[2 * pair]) + (u64)row * target_pitch;
    const Word* source = reinterpret_cast<const Word*>(pairs[2 * pair + 1]) + (u64)row * source_pitch;
    target[word] = source[word];
}

extern "C" __global__ void copy_rows_by_4(
    const u64* pairs, u32 target_pitch, u32 source_pitch, u32 width, u32 height, u32 num_blocks) {
    copy_rows<u32>(pairs, target_pitch, source_pitch, width, height, num_blocks);
}

extern "C" __global__ void copy_rows_by_16(
    const u64* pairs, u32 target_pitch, u32 source_pitch, u32 width, u32 height, u32 num_blocks) {
    copy_rows<uint4>(pairs, target_pitch, source_pitch, width, height, num_blocks);
}

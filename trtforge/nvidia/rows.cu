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

// Count the magnitudes of tensors in histograms of 4096 bins on power-of-two ranges.
//
// A batch passes four kernels in one stream:
//   scan   finds the largest finite magnitude and counts what is not finite, by tensor and row;
//   judge  refuses the rows of every group in which any row is not finite;
//   grow   doubles a tensor's range by adding neighbouring bins where an accepted row outgrew it;
//   count  adds the accepted rows to the histograms.
// Nothing is read back in between. Bin i of a range 2^e holds i <= |x| * 2^(12 - e) < i + 1, computed without
// rounding, so that equal values give the counts that any other exact implementation gives.
//
// The including program defines NUM_BINS, BIN_BITS, COPIES and MAX_CUTS.

typedef unsigned int u32;
typedef unsigned long long u64;

// As trtforge/nvidia/magnitude_tables.py writes them.
struct Tensor {
    u64 address;
    u64 row_values;  // values of one row, padding included
    u32 dtype;
    u32 num_cuts;
    u32 stride[MAX_CUTS];  // of an axis with padding, in values
    u32 size[MAX_CUTS];    // of that axis, padding included
};

struct Work {
    u64 start;  // first value, counted from the beginning of the row
    u32 tensor;
    u32 row;
    u32 count;  // number of values
    u32 column;  // where the row's findings are noted
};

enum { FLOAT32 = 0, FLOAT16 = 1, BFLOAT16 = 2 };

// A magnitude travels as the bits of a float32 that, times `unit`, is the value; both steps are exact.
struct Format {
    u32 limit;   // bits of infinity
    float unit;
};

__device__ inline Format format_of(u32 dtype) {
    Format format;
    // Half precision's bits moved into float32's places are the value over 2^112.
    format.limit = dtype == FLOAT16 ? 0x7c00u << 13 : 0x7f800000u;
    format.unit = dtype == FLOAT16 ? 5192296858534827628530496329220096.0f : 1.0f;
    return format;
}

__device__ inline u32 half_bits(u32 bits, u32 dtype) {
    return (bits & 0x7fffu) << (dtype == FLOAT16 ? 13 : 16);
}

__device__ inline bool is_inside(const Tensor& tensor, const u32* limits, u32 index) {
    for (u32 cut = 0; cut < tensor.num_cuts; ++cut) {
        if (index / tensor.stride[cut] % tensor.size[cut] >= limits[cut]) {
            return false;
        }
    }
    return true;
}

// Hand each value of a piece of work that is no padding to `visit`, in 16-byte loads where nothing is cut.
template <class Visit>
__device__ inline void visit_all(const Tensor& tensor, const Work& work, const u32* limits, Visit& visit) {
    const u64 first = work.row * tensor.row_values + work.start;
    const bool is_single = tensor.dtype == FLOAT32;
    const u32* words = (const u32*)tensor.address + first;
    const unsigned short* halves = (const unsigned short*)tensor.address + first;
    bool is_cut = false;
    for (u32 cut = 0; cut < tensor.num_cuts; ++cut) {
        is_cut |= limits[cut] < tensor.size[cut];
    }
    if (is_cut) {
        for (u32 at = threadIdx.x; at < work.count; at += blockDim.x) {
            if (is_inside(tensor, limits, (u32)(work.start + at))) {
                visit(is_single ? words[at] & 0x7fffffffu : half_bits(halves[at], tensor.dtype));
            }
        }
        return;
    }
    const u32 item_bytes = is_single ? 4 : 2;
    const u32 per_load = 16 / item_bytes;
    const u64 address = is_single ? (u64)words : (u64)halves;
    u32 head = (u32)((16 - address % 16) % 16) / item_bytes;
    head = head < work.count ? head : work.count;
    const u32 num_loads = (work.count - head) / per_load;
    const u32 tail = head + num_loads * per_load;
    const uint4* loads = (const uint4*)(address + (u64)head * item_bytes);
    if (is_single) {
        for (u32 at = threadIdx.x; at < num_loads; at += blockDim.x) {
            const uint4 load = loads[at];
            visit(load.x & 0x7fffffffu);
            visit(load.y & 0x7fffffffu);
            visit(load.z & 0x7fffffffu);
            visit(load.w & 0x7fffffffu);
        }
    } else {
        for (u32 at = threadIdx.x; at < num_loads; at += blockDim.x) {
            const uint4 load = loads[at];
            const u32 pairs[4] = {load.x, load.y, load.z, load.w};
            for (u32 pair = 0; pair < 4; ++pair) {
                visit(half_bits(pairs[pair], tensor.dtype));
                visit(half_bits(pairs[pair] >> 16, tensor.dtype));
            }
        }
    }
    const u32 num_loose = head + work.count - tail;
    for (u32 at = threadIdx.x; at < num_loose; at += blockDim.x) {
        const u32 index = at < head ? at : tail + (at - head);
        visit(is_single ? words[index] & 0x7fffffffu : half_bits(halves[index], tensor.dtype));
    }
}

struct Scan {
    u32 limit;
    u32 largest;
    u32 num_nonfinite;

    __device__ void operator()(u32 bits) {
        if (bits >= limit) {
            ++num_nonfinite;
        } else if (bits > largest) {
            largest = bits;
        }
    }
};

extern "C" __global__ void scan(
    const Tensor* tensors, const Work* works, const u32* limits, u32 num_columns, u32* largest, u64* num_nonfinite
) {
    const Work work = works[blockIdx.x];
    const Tensor tensor = tensors[work.tensor];
    const u32 cell = work.tensor * num_columns + work.column;
    const Format format = format_of(tensor.dtype);
    Scan seen = {format.limit, 0, 0};
    visit_all(tensor, work, limits + (u64)cell * MAX_CUTS, seen);
    for (int step = 16; step; step >>= 1) {
        const u32 other = __shfl_down_sync(0xffffffffu, seen.largest, step);
        seen.largest = other > seen.largest ? other : seen.largest;
        seen.num_nonfinite += __shfl_down_sync(0xffffffffu, seen.num_nonfinite, step);
    }
    if (threadIdx.x % 32 == 0) {
        if (seen.largest) {
            atomicMax(largest + cell, __float_as_uint(__uint_as_float(seen.largest) * format.unit));
        }
        if (seen.num_nonfinite) {
            atomicAdd(num_nonfinite + cell, (u64)seen.num_nonfinite);
        }
    }
}

// The last column is of tensors that belong to every row. `groups` gives each row the first row of its group;
// `refused` arrives as zeros.
extern "C" __global__ void judge(
    const u64* num_nonfinite, const u32* groups, u32 num_tensors, u32 num_columns, u32* refused
) {
    __shared__ u32 is_any;
    __shared__ u32 is_all;
    const u32 last = num_columns - 1;
    if (threadIdx.x == 0) {
        is_any = is_all = 0;
    }
    __syncthreads();
    for (u32 cell = threadIdx.x; cell < num_tensors * num_columns; cell += blockDim.x) {
        if (num_nonfinite[cell]) {
            const u32 column = cell % num_columns;
            is_any = 1;
            if (column == last) {
                is_all = 1;
            } else {
                atomicMax(refused + groups[column], 1u);
            }
        }
    }
    __syncthreads();
    // The first row of a group holds the verdict, which the others read and none of them writes.
    for (u32 column = threadIdx.x; column < last; column += blockDim.x) {
        if (groups[column] != column) {
            refused[column] = is_all | refused[groups[column]];
        }
    }
    __syncthreads();
    for (u32 column = threadIdx.x; column < last; column += blockDim.x) {
        if (groups[column] == column) {
            refused[column] |= is_all;
        }
    }
    if (threadIdx.x == 0) {
        refused[last] = is_any;
    }
}

// Smallest e with value < 2^e, for the bits of a positive float32.
__device__ inline int range_exponent(u32 bits) {
    return bits >> 23 ? (int)(bits >> 23) - 126 : 32 - __clz(bits) - 149;
}

extern "C" __global__ void grow(
    const u32* largest, const u32* refused, u32 num_columns, u64* counts, int* exponents, u32* maxima
) {
    __shared__ u64 before[NUM_BINS];
    __shared__ int doublings;
    const u32 tensor = blockIdx.x;
    u64* bins = counts + (u64)tensor * NUM_BINS;
    if (threadIdx.x == 0) {
        u32 most = 0;
        for (u32 column = 0; column < num_columns; ++column) {
            const u32 found = largest[tensor * num_columns + column];
            most = !refused[column] && found > most ? found : most;
        }
        doublings = 0;
        if (most > maxima[tensor]) {
            maxima[tensor] = most;
            doublings = range_exponent(most) - exponents[tensor];
            exponents[tensor] += doublings;
            doublings = doublings < BIN_BITS ? doublings : BIN_BITS;
        }
    }
    __syncthreads();
    if (doublings == 0) {
        return;
    }
    for (u32 bin = threadIdx.x; bin < NUM_BINS; bin += blockDim.x) {
        before[bin] = bins[bin];
    }
    __syncthreads();
    for (u32 bin = threadIdx.x; bin < NUM_BINS; bin += blockDim.x) {
        u64 sum = 0;
        if (bin < NUM_BINS >> doublings) {
            for (u32 at = bin << doublings; at < (bin + 1) << doublings; ++at) {
                sum += before[at];
            }
        }
        bins[bin] = sum;
    }
}

// Zeros and the first bin, where most values of a sparse tensor fall, are counted in registers. The others go
// to one of COPIES tables in turn, so that equal values of neighbouring threads seldom wait for each other.
struct Count {
    float unit;
    float bins_per_unit;
    u32* table;
    u32 num_zeros;
    u32 num_first;

    __device__ void operator()(u32 bits) {
        const u32 bin = (u32)(__uint_as_float(bits) * unit * bins_per_unit);
        if (bin) {
            atomicAdd(table + (bin < NUM_BINS ? bin : NUM_BINS - 1) * COPIES, 1u);
        } else if (bits) {
            ++num_first;
        } else {
            ++num_zeros;
        }
    }
};

extern "C" __global__ void count(
    const Tensor* tensors, const Work* works, const u32* limits, u32 num_columns, const u32* refused,
    const int* exponents, u64* counts, u64* num_zeros
) {
    extern __shared__ u32 tables[];
    const Work work = works[blockIdx.x];
    if (refused[work.column]) {
        return;
    }
    for (u32 at = threadIdx.x; at < NUM_BINS * COPIES; at += blockDim.x) {
        tables[at] = 0;
    }
    __syncthreads();
    const Tensor tensor = tensors[work.tensor];
    // An empty tensor has no range yet, and only zeros to be counted.
    const int exponent = exponents[work.tensor] < -148 ? -148 : exponents[work.tensor];
    Count seen = {format_of(tensor.dtype).unit, 1.0f, tables + threadIdx.x % COPIES, 0, 0};
    // Below this 2^(12 - e) is beyond float32; two steps are exact too.
    const int lift = exponent < -100 ? 60 : 0;
    seen.unit *= __uint_as_float((u32)(127 + lift) << 23);
    seen.bins_per_unit = __uint_as_float((u32)(127 + BIN_BITS - exponent - lift) << 23);
    visit_all(tensor, work, limits + ((u64)work.tensor * num_columns + work.column) * MAX_CUTS, seen);
    for (int step = 16; step; step >>= 1) {
        seen.num_zeros += __shfl_down_sync(0xffffffffu, seen.num_zeros, step);
        seen.num_first += __shfl_down_sync(0xffffffffu, seen.num_first, step);
    }
    u64* bins = counts + (u64)work.tensor * NUM_BINS;
    if (threadIdx.x % 32 == 0) {
        if (seen.num_zeros) {
            atomicAdd(num_zeros + work.tensor, (u64)seen.num_zeros);
        }
        if (seen.num_first) {
            atomicAdd(bins, (u64)seen.num_first);
        }
    }
    __syncthreads();
    for (u32 bin = threadIdx.x; bin < NUM_BINS; bin += blockDim.x) {
        u32 sum = 0;
        for (u32 copy = 0; copy < COPIES; ++copy) {
            sum += tables[bin * COPIES + copy];
        }
        if (sum) {
            atomicAdd(bins + bin, (u64)sum);
        }
    }
}

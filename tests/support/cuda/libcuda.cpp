// A libcuda.so.1 without a GPU: the driver's functions that cuda.core calls for gpu.py, and the kernels on the CPU.
//
// Knows: the functions' signatures, and two structs of the driver. Does not know: kernels; the library that the variable
// EMULATOR names has them (emulator.cpp). The GPU is an H100 by its numbers. Its memory begins as NaNs, and is none of the
// host's; work is done when somebody waits for it.
#include <dlfcn.h>
#include <stdint.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <string>
#include <vector>

#define DRIVER extern "C" __attribute__((visibility("default"))) int

namespace {

enum { kDone = 0, kInvalid = 1, kNoContext = 201, kNoImage = 200, kNotFound = 500, kIllegal = 700, kNotSupported = 801 };
void *const kContext = reinterpret_cast<void *>(0x1000), *const kStream = reinterpret_cast<void *>(0x2000);

// As the driver's header has them.
struct KernelNode {
    void *function;
    unsigned grid[3], block[3], shared;
    void **parameters, **extra;
    void *kernel, *context;
};
struct Copy3D {
    size_t from_x, from_y, from_z, from_level;
    int from_kind;
    const void *from_host;
    uint64_t from_device;
    void *from_array, *reserved0;
    size_t from_pitch, from_height, to_x, to_y, to_z, to_level;
    int to_kind;
    void *to_host;
    uint64_t to_device;
    void *to_array, *reserved1;
    size_t to_pitch, to_height, width, height, depth;
};

// As emulator.cpp has them: a copy of bytes, or a kernel with its parameters and its bytes of shared memory.
struct Item {
    const char *kernel;
    void *to;
    const void *from;
    size_t bytes;
    uint32_t x, y, threads;
};
struct Asked {
    const Item *items;
    uint32_t count, done;
};
using Graph = std::vector<Item>;
using Emulate = int (*)(Asked *);

thread_local std::vector<void *> contexts;
std::map<uint64_t, size_t> card, host;  // allocations
std::deque<std::string> kernels;  // which stay where they are
std::map<std::string, unsigned> granted;
std::deque<Graph> asked;
int broken = kDone;

bool has(const std::map<uint64_t, size_t> &where, uint64_t at, size_t size) {
    auto next = where.upper_bound(at);
    return next != where.begin() && at + size <= std::prev(next)->first + std::prev(next)->second;
}

uint64_t allocate(std::map<uint64_t, size_t> &where, size_t size) {
    void *block = std::aligned_alloc(256, (size + 255) / 256 * 256);
    std::memset(block, 0xff, size);
    where[reinterpret_cast<uint64_t>(block)] = size;
    return reinterpret_cast<uint64_t>(block);
}

int release(std::map<uint64_t, size_t> &where, uint64_t at) {
    if (!where.erase(at)) return kInvalid;
    std::free(reinterpret_cast<void *>(at));
    return kDone;
}

int finish() {
    static const Emulate emulate = [] {
        void *library = dlopen(std::getenv("EMULATOR"), RTLD_NOW);
        return library ? reinterpret_cast<Emulate>(dlsym(library, "emulate")) : nullptr;
    }();
    for (; !asked.empty() && !broken; asked.pop_front()) {
        const Graph &graph = asked.front();
        Asked all{graph.data(), static_cast<uint32_t>(graph.size()), 0};
        if (!emulate || emulate(&all)) broken = kIllegal;
    }
    return broken;
}

// Nodes make a chain: each depends on the one before, whose number it names.
int add(void **out, void *graph, void *const *before, size_t count, Item item) {
    Graph &nodes = *static_cast<Graph *>(graph);
    if (count != (nodes.empty() ? 0u : 1u)) return kInvalid;
    if (count && reinterpret_cast<size_t>(before[0]) != nodes.size()) return kInvalid;
    nodes.push_back(item);
    *out = reinterpret_cast<void *>(nodes.size());
    return kDone;
}

}  // namespace

#define IN_CONTEXT \
    if (contexts.empty()) return kNoContext

DRIVER missing() { return kNotSupported; }
DRIVER cuGetExportTable(const void **, const void *) { return kNotSupported; }  // NVRTC asks for it
DRIVER cuInit(unsigned) { return kDone; }
DRIVER cuDriverGetVersion(int *version) { return *version = 13000, kDone; }
DRIVER cuDeviceGetCount(int *count) { return *count = 1, kDone; }
DRIVER cuDeviceGet(int *device, int number) { return *device = number, kDone; }
DRIVER cuDeviceGetName(char *text, int size, int) { return std::snprintf(text, size, "no GPU"), kDone; }
DRIVER cuDeviceGetAttribute(int *value, int which, int) {
    // Compute capability 9.0, multiprocessors (few: the emulator is slow), shared memory of a block.
    *value = which == 75 ? 9 : which == 76 ? 0 : which == 16 ? 2 : which == 97 ? 232448 : 1;
    return kDone;
}
DRIVER cuDevicePrimaryCtxRetain(void **context, int) { return *context = kContext, kDone; }
DRIVER cuDevicePrimaryCtxRelease_v2(int) { return kDone; }
DRIVER cuCtxPushCurrent_v2(void *context) { return contexts.push_back(context), kDone; }
DRIVER cuCtxPopCurrent_v2(void **context) {
    IN_CONTEXT;
    *context = contexts.back();
    return contexts.pop_back(), kDone;
}
DRIVER cuCtxSetCurrent(void *context) {
    if (contexts.empty()) contexts.push_back(context);
    return contexts.back() = context, kDone;
}
DRIVER cuCtxGetCurrent(void **context) { return *context = contexts.empty() ? nullptr : contexts.back(), kDone; }
DRIVER cuCtxGetDevice(int *device) {
    IN_CONTEXT;
    return *device = 0, kDone;
}
DRIVER cuCtxGetStreamPriorityRange(int *least, int *most) { return *least = *most = 0, kDone; }
DRIVER cuStreamCreateWithPriority(void **stream, unsigned, int) {
    IN_CONTEXT;
    return *stream = kStream, kDone;
}
DRIVER cuStreamDestroy_v2(void *) { return kDone; }
DRIVER cuStreamGetCtx(void *, void **context) { return *context = kContext, kDone; }
DRIVER cuStreamSynchronize(void *stream) {
    IN_CONTEXT;
    return stream == kStream ? finish() : kInvalid;
}
DRIVER cuMemGetInfo_v2(size_t *free, size_t *total) {
    IN_CONTEXT;
    return *free = size_t{1} << 30, *total = size_t{1} << 31, kDone;
}
DRIVER cuMemAlloc_v2(uint64_t *at, size_t size) {
    IN_CONTEXT;
    return *at = allocate(card, size), kDone;
}
DRIVER cuMemHostAlloc(void **at, size_t size, unsigned) {
    IN_CONTEXT;
    return *at = reinterpret_cast<void *>(allocate(host, size)), kDone;
}
DRIVER cuMemFree_v2(uint64_t at) { return finish(), release(card, at); }
DRIVER cuMemFreeHost(void *at) { return finish(), release(host, reinterpret_cast<uint64_t>(at)); }
DRIVER cuMemsetD8Async(uint64_t at, unsigned char value, size_t size, void *stream) {
    if (stream != kStream || !has(card, at, size)) return kInvalid;
    if (finish()) return broken;
    return std::memset(reinterpret_cast<void *>(at), value, size), kDone;
}
DRIVER cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t size, void *stream) {
    if (stream != kStream || !has(card, to, size)) return kInvalid;
    if (finish()) return broken;
    return std::memcpy(reinterpret_cast<void *>(to), from, size), kDone;
}
DRIVER cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t size, void *stream) {
    if (stream != kStream || !has(card, from, size)) return kInvalid;
    if (finish()) return broken;
    return std::memcpy(to, reinterpret_cast<void *>(from), size), kDone;
}
DRIVER cuPointerGetAttribute(void *value, int which, uint64_t at) {
    if (which != 2 || (!has(host, at, 1) && !has(card, at, 1))) return kInvalid;
    return *static_cast<unsigned *>(value) = has(host, at, 1) ? 1 : 2, kDone;
}
DRIVER cuLibraryLoadData(void **library, const void *code, void *, void *, unsigned, void *, void *, unsigned) {
    *library = kContext;
    return std::memcmp(code, "\177ELF", 4) == 0 ? kDone : kNoImage;
}
DRIVER cuLibraryUnload(void *) { return kDone; }
DRIVER cuLibraryGetKernel(void **kernel, void *, const char *name) {
    kernels.push_back(name);
    return *kernel = reinterpret_cast<void *>(kernels.size()), kDone;
}
DRIVER cuKernelSetAttribute(int which, int value, void *kernel, int) {
    if (which != 8 || value > 232448) return kInvalid;
    return granted[kernels[reinterpret_cast<size_t>(kernel) - 1]] = value, kDone;
}
DRIVER cuGraphCreate(void **graph, unsigned) { return *graph = new Graph, kDone; }
DRIVER cuGraphDestroy(void *graph) { return delete static_cast<Graph *>(graph), kDone; }
DRIVER cuGraphAddKernelNode_v2(void **out, void *graph, void *const *before, size_t count, const KernelNode *k) {
    const std::string &name = kernels[reinterpret_cast<size_t>(k->kernel) - 1];
    uint64_t parameters;
    std::memcpy(&parameters, k->parameters[0], sizeof parameters);
    const unsigned most = granted.count(name) ? granted[name] : 48 << 10;
    const bool flat = k->grid[2] == 1 && k->block[1] == 1 && k->block[2] == 1;
    if (!flat || k->block[0] > 1024 || k->shared > most || !has(card, parameters, 1)) return kInvalid;
    const void *from = reinterpret_cast<void *>(parameters);
    return add(out, graph, before, count, {name.c_str(), nullptr, from, k->shared, k->grid[0], k->grid[1], k->block[0]});
}
DRIVER cuGraphAddMemcpyNode(void **out, void *graph, void *const *before, size_t count, const Copy3D *c, void *context) {
    const bool up = c->from_kind == 1 && c->to_kind == 2, down = c->from_kind == 2 && c->to_kind == 1;
    if (context != kContext || !(up || down) || c->height != 1 || c->depth != 1) return kInvalid;
    const void *from = up ? c->from_host : reinterpret_cast<void *>(c->from_device);
    void *to = up ? reinterpret_cast<void *>(c->to_device) : c->to_host;
    return add(out, graph, before, count, {nullptr, to, from, c->width, 0, 0, 0});
}
DRIVER cuGraphInstantiateWithParams(void **made, void *graph, void *) {
    return *made = new Graph(*static_cast<Graph *>(graph)), kDone;
}
DRIVER cuGraphInstantiateWithFlags(void **made, void *graph, unsigned long long) {
    return cuGraphInstantiateWithParams(made, graph, nullptr);
}
DRIVER cuGraphExecDestroy(void *made) { return delete static_cast<Graph *>(made), kDone; }
DRIVER cuGraphUpload(void *, void *) { return kDone; }
DRIVER cuGraphLaunch(void *made, void *stream) {
    IN_CONTEXT;
    if (stream != kStream) return kInvalid;
    return asked.push_back(*static_cast<Graph *>(made)), broken;
}
DRIVER cuUserObjectCreate(void **object, void *, void (*)(void *), unsigned, unsigned) { return *object = kContext, kDone; }
DRIVER cuUserObjectRetain(void *, unsigned) { return kDone; }
DRIVER cuUserObjectRelease(void *, unsigned) { return kDone; }
DRIVER cuGraphReleaseUserObject(void *, void *, unsigned) { return kDone; }
DRIVER cuGraphRetainUserObject(void *, void *, unsigned, unsigned) { return kDone; }
DRIVER cuGetErrorName(int code, const char **text) {
    return *text = code == kIllegal ? "CUDA_ERROR_ILLEGAL_ADDRESS" : "CUDA_ERROR", kDone;
}
DRIVER cuGetErrorString(int, const char **text) { return *text = "a driver without a GPU", kDone; }

// How the bindings find all of the above. What is not here says that it is not supported.
DRIVER cuGetProcAddress_v2(const char *name, void **function, int, uint64_t, int *status) {
    static void *const self = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
    *function = nullptr;
    for (const char *version : {"_v2", ""})
        if (!*function) *function = dlsym(self, (std::string(name) + version).c_str());
    if (!*function) *function = reinterpret_cast<void *>(missing);
    if (status) *status = 0;
    return kDone;
}

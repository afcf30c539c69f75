// Aligned memory, in huge pages where it is large: a step reads all weights once, and small pages would cost a walk
// through the page tables every 4 KiB.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <utility>
#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace srvq {

class Memory {
public:
    Memory() = default;
    explicit Memory(size_t bytes) : bytes_(bytes) {
        const size_t page = bytes >= kHuge ? kHuge : 4096;
        const size_t whole = (bytes + page) / page * page;  // at least a byte to spare: kernels may prefetch past the end
        data_ = std::aligned_alloc(page, whole);
        if (!data_) throw std::bad_alloc();
#if defined(__linux__)
        if (page == kHuge) madvise(data_, whole, MADV_HUGEPAGE);
#endif
    }
    Memory(Memory &&other) noexcept { *this = std::move(other); }
    Memory &operator=(Memory &&other) noexcept {
        std::swap(data_, other.data_);
        std::swap(bytes_, other.bytes_);
        return *this;
    }
    ~Memory() { std::free(data_); }

    template <class T = float>
    T *as() const {
        return static_cast<T *>(data_);
    }
    size_t bytes() const { return bytes_; }

private:
    static constexpr size_t kHuge = size_t{1} << 21;
    void *data_ = nullptr;
    size_t bytes_ = 0;
};

}  // namespace srvq

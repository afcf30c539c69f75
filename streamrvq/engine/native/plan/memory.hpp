// Aligned memory, in huge pages where it is large. A step reads all weights once. With small pages it would have to look up
// an address in the page tables every 4 KiB.
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
        whole_ = pages(bytes, kPage);
        if (is_huge()) whole_ = pages(bytes, kHuge);
        data_ = is_huge() ? huge(whole_) : std::aligned_alloc(kPage, whole_);
        if (!data_) throw std::bad_alloc();
    }
    Memory(Memory &&other) noexcept { *this = std::move(other); }
    Memory &operator=(Memory &&other) noexcept {
        std::swap(data_, other.data_);
        std::swap(bytes_, other.bytes_);
        std::swap(whole_, other.whole_);
        return *this;
    }
    ~Memory() {
#if defined(__linux__)
        if (is_huge()) {
            munmap(data_, whole_);
            return;
        }
#endif
        std::free(data_);
    }

    template <class T = float>
    T *as() const {
        return static_cast<T *>(data_);
    }
    size_t bytes() const { return bytes_; }

private:
    static constexpr size_t kPage = 4096, kHuge = size_t{1} << 21;

    // Whole pages, with at least a byte to spare: kernels may prefetch past the end.
    static size_t pages(size_t bytes, size_t page) { return (bytes + page) / page * page; }

    // The one place that decides: what was mapped is unmapped, and nothing else.
    bool is_huge() const { return whole_ >= kHuge; }

    // Mapped, not allocated. A C library may keep memory that is freed, so a growing buffer would leave its smaller
    // predecessors behind.
    static void *huge(size_t whole) {
#if defined(__linux__)
        void *const all = mmap(nullptr, whole + kHuge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (all == MAP_FAILED) return nullptr;
        char *const begin = static_cast<char *>(all);
        const size_t before = (kHuge - reinterpret_cast<uintptr_t>(all) % kHuge) % kHuge;
        if (before) munmap(begin, before);
        if (before < kHuge) munmap(begin + before + whole, kHuge - before);
        madvise(begin + before, whole, MADV_HUGEPAGE);
        return begin + before;
#else
        return std::aligned_alloc(kHuge, whole);
#endif
    }

    void *data_ = nullptr;
    size_t bytes_ = 0, whole_ = 0;
};

}  // namespace srvq

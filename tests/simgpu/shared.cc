// Static shared memory: the sections that __shared__ names (include/simgpu_device.h). GCC puts the
// variables of templates elsewhere in spite of that; they are found as weak symbols of variables
// that belong to a function and are not initialised.
#include "runtime.h"
#include "simgpu_launch.h"

#include <cstring>
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <map>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace simgpu
{
struct Region {
    volatile unsigned char *start;
    size_t bytes;
};
typedef std::vector<Region> Regions;
// A program's or a library's, by where it lies.
static std::map<const void *, Regions> &modules = *new std::map<const void *, Regions>;

namespace
{
struct Image {
    const char *start;
    size_t bytes;

    template <class T> const T *at(size_t offset, size_t n = 1) const
    {
        return offset <= bytes && n <= (bytes - offset) / sizeof(T)
                   ? reinterpret_cast<const T *>(start + offset)
                   : nullptr;
    }
    const char *text(const ElfW(Shdr) & strings, size_t index) const
    {
        return index < strings.sh_size ? at<char>(strings.sh_offset + index) : nullptr;
    }
};
} // namespace

static void add(Regions *to, ElfW(Addr) base, ElfW(Addr) value, size_t bytes)
{
    if (bytes)
        to->push_back({reinterpret_cast<volatile unsigned char *>(base + value), bytes});
}

static bool is_static_of_a_template(const ElfW(Sym) & s, const char *name)
{
    const unsigned bind = s.st_info >> 4, type = s.st_info & 15;
    return type == STT_OBJECT && (bind == STB_WEAK || bind == STB_GNU_UNIQUE) &&
           strncmp(name, "_ZZ", 3) == 0;
}

static void add_symbols(const Image &image, const ElfW(Shdr) * sections, size_t n_sections,
                        const ElfW(Shdr) & table, ElfW(Addr) base, Regions *out)
{
    const size_t n = table.sh_size / sizeof(ElfW(Sym));
    const ElfW(Sym) *symbols = image.at<ElfW(Sym)>(table.sh_offset, n);
    if (!symbols || table.sh_link >= n_sections)
        return;
    for (size_t i = 0; i < n; i++) {
        const ElfW(Sym) &s = symbols[i];
        const char *name = image.text(sections[table.sh_link], s.st_name);
        if (name && s.st_shndx < n_sections && sections[s.st_shndx].sh_type == SHT_NOBITS &&
            !(sections[s.st_shndx].sh_flags & SHF_TLS) && is_static_of_a_template(s, name))
            add(out, base, s.st_value, s.st_size);
    }
}

static Regions regions_of(const Image &image, ElfW(Addr) base)
{
    Regions out;
    const ElfW(Ehdr) *header = image.at<ElfW(Ehdr)>(0);
    if (!header)
        return out;
    const size_t n = header->e_shnum;
    const ElfW(Shdr) *sections = image.at<ElfW(Shdr)>(header->e_shoff, n);
    if (!sections || header->e_shstrndx >= n)
        return out;
    if (header->e_type == ET_EXEC)
        base = 0;
    for (size_t i = 0; i < n; i++) {
        const char *name = image.text(sections[header->e_shstrndx], sections[i].sh_name);
        if (name && strncmp(name, "simgpu_shared.", 14) == 0)
            add(&out, base, sections[i].sh_addr, sections[i].sh_size);
        if (sections[i].sh_type == SHT_SYMTAB)
            add_symbols(image, sections, n, sections[i], base, &out);
    }
    return out;
}

static const Regions &module_of(const void *kernel)
{
    Dl_info info;
    if (!dladdr(kernel, &info))
        die("a kernel at %p belongs to no program or library", kernel);
    const auto known = modules.find(info.dli_fbase);
    if (known != modules.end())
        return known->second;
    Regions &regions = modules[info.dli_fbase];
    // The program itself may be named by a path that no longer leads to it.
    Dl_info own;
    const bool program = dladdr(reinterpret_cast<void *>(getauxval(AT_ENTRY)), &own) &&
                         own.dli_fbase == info.dli_fbase;
    const int file = open(program ? "/proc/self/exe" : info.dli_fname, O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (file < 0 || fstat(file, &status) != 0)
        die("%s cannot be read: static shared memory is not found", info.dli_fname);
    const size_t bytes = static_cast<size_t>(status.st_size);
    void *start = mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE, file, 0);
    if (start == MAP_FAILED)
        die("%s cannot be mapped: static shared memory is not found", info.dli_fname);
    regions = regions_of({static_cast<const char *>(start), bytes},
                         reinterpret_cast<ElfW(Addr)>(info.dli_fbase));
    munmap(start, bytes);
    close(file);
    return regions;
}

// Sanitizers keep zones of their own between variables, so they must not see this.
__attribute__((no_sanitize("address", "thread", "undefined"))) static void fill(const Region &r)
{
    for (size_t i = 0; i < r.bytes; i++)
        r.start[i] = 0xff;
}

void poison_static_shared(const void *kernel)
{
    for (const Region &r : module_of(kernel))
        fill(r);
}
} // namespace simgpu

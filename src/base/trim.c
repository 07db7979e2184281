#include "base/trim.h"

#include <link.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

/* A segment that cannot be written holds only what its file holds, unless it was relocated itself;
 * a page of it comes back from the file. */
static bool has_text_relocations(const struct dl_phdr_info *info)
{
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        if (info->dlpi_phdr[i].p_type != PT_DYNAMIC)
            continue;
        const ElfW(Dyn) *entry = (const ElfW(Dyn) *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
        for (; entry->d_tag != DT_NULL; entry++)
            if (entry->d_tag == DT_TEXTREL ||
                (entry->d_tag == DT_FLAGS && (entry->d_un.d_val & DF_TEXTREL) != 0))
                return true;
    }
    return false;
}

static int trim_object(struct dl_phdr_info *info, size_t size, void *arg)
{
    const uintptr_t page = *(const uintptr_t *)arg;
    (void)size;
    if (has_text_relocations(info))
        return 0;
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
        if (ph->p_type != PT_LOAD || (ph->p_flags & PF_W) != 0)
            continue;
        /* Whole pages of this segment alone. */
        uintptr_t from = (info->dlpi_addr + ph->p_vaddr + page - 1) / page * page;
        uintptr_t to = (info->dlpi_addr + ph->p_vaddr + ph->p_filesz) / page * page;
        if (to > from)
            (void)madvise((void *)from, to - from, MADV_DONTNEED);
    }
    return 0;
}

void fm_trim(void)
{
    long page = sysconf(_SC_PAGESIZE);
    uintptr_t bytes = page > 0 ? (uintptr_t)page : 4096;
    (void)malloc_trim(0);
    (void)dl_iterate_phdr(trim_object, &bytes);
}

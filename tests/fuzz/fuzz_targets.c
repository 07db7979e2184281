/* A targets_file by anyone: what is taken of it is within bounds and may be polled. */
#include <assert.h>
#include <string.h>

#include "poll/poll_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fm_arena arena;
    struct fm_file file = {.path = "fuzz"};
    size_t n = 0;
    fm_arena_init(&arena, 64 << 20);
    if (fm_file_parse(&file, &n, (const char *)data, size, &arena, NULL) == FM_OK) {
        assert(n == file.n && n <= 10000);
        for (size_t i = 0; i < file.n; i++) {
            const struct fm_file_entry *e = &file.entries[i];
            assert(fm_target_check(e->url, NULL) == FM_OK && e->part[0] != '\0');
            for (size_t k = 0; k < e->n_labels; k++)
                assert(strncmp(e->labels[k].name, "__", 2) != 0 && e->labels[k].value != NULL);
        }
    }
    fm_arena_clear(&arena);
    return 0;
}

/* ObjectNames: what parses must parse again from its canonical form, to the same form. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "value/name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fm_arena arena;
    fm_arena_init(&arena, 4 * 1024 * 1024);
    char *text = fm_arena_strndup(&arena, (const char *)data, size);
    struct fm_name name;
    struct fm_name again;
    if (text != NULL && fm_name_parse(&name, &arena, text, NULL) == FM_OK) {
        if (fm_name_parse(&again, &arena, name.canonical, NULL) != FM_OK ||
            strcmp(name.canonical, again.canonical) != 0)
            abort();
        if (!fm_name_is_pattern(&name) && !fm_name_match(&again, &name))
            abort();
        for (size_t i = 0; i < name.n; i++)
            if (fm_name_value(&name, &arena, name.props[i].key) == NULL)
                abort();
    }
    fm_arena_clear(&arena);
    return 0;
}

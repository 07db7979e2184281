/* config/presets.h - the query sets that are shipped inside the program. Read-only, any thread. */
#ifndef FM_CONFIG_PRESETS_H
#define FM_CONFIG_PRESETS_H

#include <stdbool.h>
#include <stddef.h>

struct fm_preset {
    const char *name;
    const char *about; /* one line */
    const char *live; /* products it was run against (make e2e-presets); NULL: none */
    const char *dump; /* those whose list of MBeans alone it was compared with; NULL: none */
    const char *text; /* INI: [query:NAME] sections */
};

/** Shipped preset i, in the order of their names. @return false behind the last */
bool fm_preset_at(size_t i, struct fm_preset *out);

/** A shipped preset. @return false if there is none of that name */
bool fm_preset_find(const char *name, struct fm_preset *out);

#endif

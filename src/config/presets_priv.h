/* config/presets_priv.h - one file for each shipped preset, in presets/. */
#ifndef FM_CONFIG_PRESETS_PRIV_H
#define FM_CONFIG_PRESETS_PRIV_H

#include "config/presets.h"

extern const struct fm_preset fm_preset_jvm;

#endif

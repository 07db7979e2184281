/* base/hash.h - FNV-1a, 64 bit: for tables and marks, never against an adversary. Pure. */
#ifndef FM_BASE_HASH_H
#define FM_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define FM_HASH_START UINT64_C(14695981039346656037)

/** Go on with a hash (first FM_HASH_START) over len bytes. */
static inline uint64_t fm_hash(uint64_t hash, const void *data, size_t len)
{
    const unsigned char *bytes = data;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ bytes[i]) * UINT64_C(1099511628211);
    return hash;
}

/** Another hash, eight bytes at a time. */
static inline uint64_t fm_hash_wide(uint64_t hash, const void *data, size_t len)
{
    const unsigned char *bytes = data;
    uint64_t word = len;
    for (;; len -= sizeof word, bytes += sizeof word) {
        hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 29;
        if (len < sizeof word)
            break;
        memcpy(&word, bytes, sizeof word);
    }
    word = 0;
    memcpy(&word, bytes, len);
    hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 32;
}

static inline uint64_t fm_hash_text(const char *text)
{
    return fm_hash(FM_HASH_START, text, strlen(text));
}

#endif

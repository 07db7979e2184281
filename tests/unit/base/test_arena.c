#include <criterion/criterion.h>
#include <stdalign.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/arena.h"

Test(arena, gives_zeroed_aligned_separate_memory)
{
    struct fm_arena arena;
    fm_arena_init(&arena, 0);
    unsigned char *before = NULL;
    for (size_t size = 1; size < 5000; size += 37) {
        unsigned char *p = fm_arena_alloc(&arena, size);
        cr_assert_not_null(p);
        cr_assert_eq((uintptr_t)p % alignof(max_align_t), 0);
        for (size_t i = 0; i < size; i++)
            cr_assert_eq(p[i], 0);
        memset(p, 0xaa, size);
        if (before != NULL)
            cr_assert_eq(before[0], 0xaa);
        before = p;
    }
    fm_arena_clear(&arena);
}

Test(arena, a_large_block_does_not_waste_the_small_one)
{
    struct fm_arena arena;
    fm_arena_init(&arena, 0);
    char *a = fm_arena_alloc(&arena, 16);
    char *large = fm_arena_alloc(&arena, 100000);
    char *b = fm_arena_alloc(&arena, 16);
    cr_assert(a != NULL && large != NULL && b != NULL);
    cr_assert_eq(b, a + 16);
    memset(large, 1, 100000);
    fm_arena_clear(&arena);
}

Test(arena, says_whether_the_limit_was_the_reason)
{
    struct fm_arena arena;
    fm_arena_init(&arena, 1000);
    cr_assert_not_null(fm_arena_alloc(&arena, 800));
    cr_assert_not(arena.over_limit);
    cr_assert_null(fm_arena_alloc(&arena, 800));
    cr_assert(arena.over_limit);
    cr_assert_not_null(fm_arena_alloc(&arena, 16)); /* less still fits */
    cr_assert_not(arena.over_limit);
    fm_arena_reset(&arena);
    cr_assert_not_null(fm_arena_alloc(&arena, 800));
    fm_arena_clear(&arena);
}

Test(arena, refuses_products_and_sizes_that_overflow)
{
    struct fm_arena arena;
    fm_arena_init(&arena, 0);
    cr_assert_null(fm_arena_array(&arena, SIZE_MAX / 8, 16));
    cr_assert(arena.over_limit);
    cr_assert_null(fm_arena_alloc(&arena, SIZE_MAX));
    cr_assert_null(fm_arena_alloc(&arena, SIZE_MAX - 8));
    cr_assert_not_null(fm_arena_array(&arena, 0, 16));
    cr_assert_not_null(fm_arena_array(&arena, 16, 0));
    fm_arena_clear(&arena);
}

Test(arena, reset_keeps_one_block_and_zeroes_again)
{
    struct fm_arena arena;
    fm_arena_init(&arena, 0);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 10; i++) {
            unsigned char *p = fm_arena_alloc(&arena, 4000);
            cr_assert_not_null(p);
            cr_assert_eq(p[0] | p[3999], 0);
            memset(p, 0xff, 4000);
        }
        cr_assert_not_null(fm_arena_alloc(&arena, 50000));
        fm_arena_reset(&arena);
        cr_assert_lt(arena.used, 100);
    }
    fm_arena_clear(&arena);
    fm_arena_reset(&arena);
    cr_assert_eq(arena.used, 0);
    fm_arena_clear(&arena);
}

Test(arena, copies_text_with_a_terminator)
{
    struct fm_arena arena;
    fm_arena_init(&arena, 0);
    cr_assert_str_eq(fm_arena_strndup(&arena, "hello", 3), "hel");
    cr_assert_str_eq(fm_arena_strndup(&arena, NULL, 0), "");
    fm_arena_clear(&arena);
}

/* Without the sanitizer, which keeps freed memory for a while, only the wiped one is looked at. */
#ifdef __SANITIZE_ADDRESS__
enum { FIRST_RUN = 0 };
#else
enum { FIRST_RUN = 1 };
#endif

/* Memory that was freed, read past the sanitizer's eyes. */
static bool still_holds(const char *at, const char *text)
{
    char seen[64] = "";
    struct iovec to = {seen, strlen(text)}, from = {(void *)(uintptr_t)at, strlen(text)};
    ssize_t n = process_vm_readv(getpid(), &to, 1, &from, 1, 0);
    cr_assert_eq(n, (ssize_t)strlen(text));
    return memcmp(seen, text, strlen(text)) == 0;
}

Test(arena, wipe_leaves_nothing_of_any_block)
{
    static const char secret[] = "correct horse battery staple";
    struct fm_arena arena;
    const char *small[2], *behind;
    for (int wipe = FIRST_RUN; wipe < 2; wipe++) {
        fm_arena_init(&arena, 0);
        (void)fm_arena_alloc(&arena, 256); /* free() writes into the first words */
        small[0] = fm_arena_strndup(&arena, secret, strlen(secret));
        char *large = fm_arena_alloc(&arena, 100000);
        behind = large + 50000;
        memcpy(large + 50000, secret, sizeof secret);
        (void)fm_arena_alloc(&arena, 2000);
        small[1] = fm_arena_strndup(&arena, secret, strlen(secret));
        if (wipe)
            fm_arena_wipe(&arena);
        else
            fm_arena_clear(&arena);
        cr_assert_eq(still_holds(small[0], secret), !wipe);
        cr_assert_eq(still_holds(small[1], secret), !wipe);
        cr_assert_eq(still_holds(behind, secret), !wipe);
        cr_assert_eq(arena.used, 0);
    }
}

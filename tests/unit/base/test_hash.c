/* Published values of FNV-1a with 64 bits. */
#include <criterion/criterion.h>

#include "base/hash.h"

Test(hash, gives_the_published_values)
{
    cr_expect_eq(fm_hash_text(""), UINT64_C(0xcbf29ce484222325));
    cr_expect_eq(fm_hash_text("a"), UINT64_C(0xaf63dc4c8601ec8c));
    cr_expect_eq(fm_hash_text("foobar"), UINT64_C(0x85944171f73967e8));
    cr_expect_eq(fm_hash(fm_hash_text("foo"), "bar", 3), fm_hash_text("foobar"));
}

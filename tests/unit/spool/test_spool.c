#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "spool_kit.h"

/* Both variants pass the same tests: 0 = disk, 1 = memory. */
#define BOTH(name)                                                                                 \
    static void name(struct kit *kit);                                                             \
    Test(spool_disk, name)                                                                         \
    {                                                                                              \
        struct kit kit;                                                                            \
        kit_init(&kit, false);                                                                     \
        name(&kit);                                                                                \
        kit_done(&kit);                                                                            \
    }                                                                                              \
    Test(spool_memory, name)                                                                       \
    {                                                                                              \
        struct kit kit;                                                                            \
        kit_init(&kit, true);                                                                      \
        name(&kit);                                                                                \
        kit_done(&kit);                                                                            \
    }                                                                                              \
    static void name(struct kit *kit)

BOTH(gives_records_in_their_order_after_a_start_record)
{
    kit_open(kit);
    kit_store(kit, "t", 1, 3);
    kit_store(kit, "t", 4, 2);
    cr_assert_str_eq(kit_drain(kit, "t"), "1:S 2:r1 3:r2 4:r3 5:r4 6:r5");
    struct fm_spool_stats stats = kit_stats(kit);
    cr_assert_eq(stats.records, 0);
    cr_assert_eq(stats.streams[0].delivered, 6);
}

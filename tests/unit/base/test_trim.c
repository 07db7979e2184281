#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/trim.h"

/* Resident pages that belong to files. */
static long shared_pages(void)
{
    char line[128] = "";
    FILE *f = fopen("/proc/self/statm", "r");
    cr_assert_not_null(f);
    cr_assert_not_null(fgets(line, sizeof line, f));
    (void)fclose(f);
    char *at = line;
    (void)strtol(at, &at, 10);
    (void)strtol(at, &at, 10);
    return strtol(at, NULL, 10);
}

Test(trim, unmaps_pages_of_files_and_loses_nothing)
{
    static const char constant[] = "a constant of the program";
    static char variable[] = "a variable of the program";
    char *heap = strdup("on the heap");
    variable[0] = 'A';
    long before = shared_pages();
    fm_trim();
    long after = shared_pages();
    cr_assert_lt(after, before, "%ld pages, then %ld", before, after);
    cr_assert_str_eq(constant, "a constant of the program");
    cr_assert_str_eq(variable, "A variable of the program");
    cr_assert_str_eq(heap, "on the heap");
    fm_trim(); /* again does no harm */
    free(heap);
}

#include "alloc.h"

#include <stdatomic.h>
#include <stddef.h>

static _Atomic unsigned left; /* until the failure; 0: none is planned */
static _Atomic bool failed;

/* The names that the linker gives. */
/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): ld --wrap wants them */
void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
char *__wrap_strdup(const char *text);

static bool fails(void)
{
    unsigned n = left;
    while (n > 0 && !atomic_compare_exchange_weak(&left, &n, n - 1))
        continue;
    if (n == 1)
        failed = true;
    return n == 1;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
    return fails() ? NULL : __real_realloc(p, size);
}

char *__wrap_strdup(const char *text)
{
    return fails() ? NULL : __real_strdup(text);
}

/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */

void alloc_fail_at(unsigned n)
{
    failed = false;
    left = n;
}

bool alloc_failed(void)
{
    return failed;
}

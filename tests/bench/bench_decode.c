/* The parser of Java streams over the recorded answers of JDKs 8 to 28: nanoseconds and allocations
 * for a byte. One line. */
#include <dlfcn.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "jmx/rmi/ser_priv.h"

enum { MAX_ANSWERS = 2000, MAX_BYTES = 1024 * 1024, RUN_MS = 1000 };

static struct {
    unsigned char *data;
    size_t len;
} answers[MAX_ANSWERS];

static size_t n_answers, allocations;

/* Counts what the program and its libraries ask for. */
void *malloc(size_t size)
{
    static void *(*next)(size_t);
    if (next == NULL)
        *(void **)&next = dlsym(RTLD_NEXT, "malloc");
    allocations++;
    return next(size);
}

void *realloc(void *p, size_t size)
{
    static void *(*next)(void *, size_t);
    if (next == NULL)
        *(void **)&next = dlsym(RTLD_NEXT, "realloc");
    allocations++;
    return next(p, size);
}

static enum fm_code parse(struct fm_ser *ser, const unsigned char *data, size_t len)
{
    size_t used;
    fm_ser_begin_return(ser, FM_SER_VALUE);
    return fm_ser_feed(ser, data, len, &used, NULL);
}

/* Keeps what is one return with a value; the other files are handshakes, void returns and damage.
 */
static void load(struct fm_ser *ser, const char *path)
{
    static unsigned char bytes[MAX_BYTES];
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        exit(1);
    size_t len = fread(bytes, 1, sizeof bytes, file);
    (void)fclose(file);
    if (n_answers == MAX_ANSWERS || parse(ser, bytes, len) != FM_OK)
        return;
    answers[n_answers].data = malloc(len);
    if (answers[n_answers].data == NULL)
        exit(1);
    for (size_t i = 0; i < len; i++)
        answers[n_answers].data[i] = bytes[i];
    answers[n_answers++].len = len;
}

int main(void)
{
    struct fm_ser ser;
    glob_t found;
    fm_ser_init(&ser, 0);
    if (glob("tests/data/jmx-vectors/jdk*/*.s2c.bin", 0, NULL, &found) != 0)
        return 1;
    for (size_t i = 0; i < found.gl_pathc; i++)
        load(&ser, found.gl_pathv[i]);
    globfree(&found);
    uint64_t bytes = 0, rounds = 0;
    allocations = 0;
    int64_t start = fm_clock_ns(), now = start;
    for (; (now = fm_clock_ns()) - start < RUN_MS * 1000000LL; rounds++)
        for (size_t i = 0; i < n_answers; i++) {
            if (parse(&ser, answers[i].data, answers[i].len) != FM_OK)
                return 1;
            bytes += answers[i].len;
        }
    printf("decode: %zu answers, %.0f bytes each, %.2f ns/byte, %.0f MB/s, %.2f allocations an "
           "answer\n",
           n_answers, (double)bytes / (double)(rounds * n_answers),
           (double)(now - start) / (double)bytes, (double)bytes * 1e3 / (double)(now - start),
           (double)allocations / (double)(rounds * n_answers));
    for (size_t i = 0; i < n_answers; i++)
        free(answers[i].data);
    fm_ser_clear(&ser);
    return n_answers > 300 ? 0 : 1;
}

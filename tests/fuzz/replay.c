/* replay.c - run a fuzz target over its corpus as an ordinary test, without clang.
 *
 * The program fuzz_x replays tests/fuzz/corpus/x/, or the files and folders named on its command
 * line: each file whole, and each prefix of a small one, since most faults hide in input that ends
 * too early. Each input lies in a block of exactly its size, so that ASan sees the first byte read
 * behind it. No corpus is a failure, not a success. */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Prefixes are quadratic: above the first bound only some are tried, above the second none. */
enum { ALL_PREFIXES = 2048, SOME_PREFIXES = 65536, STEPS = 256, MAX_FILE = 64 * 1024 * 1024 };

struct count {
    unsigned long files;
    unsigned long inputs;
};

static int run_one(const uint8_t *data, size_t size, struct count *count)
{
    uint8_t *exact = malloc(size > 0 ? size : 1);
    if (exact == NULL)
        return -1;
    if (size > 0)
        memcpy(exact, data, size);
    (void)LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    count->inputs++;
    return 0;
}

static int run_prefixes(const uint8_t *data, size_t size, struct count *count)
{
    size_t step = size <= ALL_PREFIXES ? 1 : size <= SOME_PREFIXES ? size / STEPS : size;
    for (size_t len = 0; len < size; len += step)
        if (run_one(data, len, count) != 0)
            return -1;
    return run_one(data, size, count);
}

static int replay_file(const char *path, struct count *count)
{
    FILE *file = fopen(path, "rb");
    struct stat st;
    if (file == NULL || fstat(fileno(file), &st) != 0 || st.st_size > MAX_FILE) {
        (void)fprintf(stderr, "replay: cannot read %s: %s\n", path, strerror(errno));
        if (file != NULL)
            (void)fclose(file);
        return -1;
    }
    size_t size = (size_t)st.st_size;
    uint8_t *data = malloc(size + 1);
    int rc = -1;
    if (data != NULL && fread(data, 1, size, file) == size)
        rc = run_prefixes(data, size, count);
    if (rc != 0)
        (void)fprintf(stderr, "replay: cannot read %s whole\n", path);
    count->files++;
    free(data);
    (void)fclose(file);
    return rc;
}

static int replay(const char *path, struct count *count);

static int replay_folder(const char *path, struct count *count)
{
    struct dirent **entries = NULL;
    int n = scandir(path, &entries, NULL, alphasort);
    int rc = n < 0 ? -1 : 0;
    for (int i = 0; i < n; i++) {
        char name[4096];
        (void)snprintf(name, sizeof name, "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.' && replay(name, count) != 0)
            rc = -1;
        free(entries[i]);
    }
    free(entries);
    return rc;
}

static int replay(const char *path, struct count *count)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        (void)fprintf(stderr, "replay: %s: %s\n", path, strerror(errno));
        return -1;
    }
    return S_ISDIR(st.st_mode) ? replay_folder(path, count) : replay_file(path, count);
}

int main(int argc, char **argv)
{
    struct count count = {0, 0};
    int rc = 0;
    const char *slash = strrchr(argv[0], '/');
    const char *name = slash != NULL ? slash + 1 : argv[0];
    if (strncmp(name, "fuzz_", 5) == 0)
        name += 5;
    for (int i = 1; i < argc; i++)
        rc |= replay(argv[i], &count);
    if (argc == 1) {
        char folder[4096];
        (void)snprintf(folder, sizeof folder, "tests/fuzz/corpus/%s", name);
        rc = replay(folder, &count);
    }
    if (count.files == 0) {
        (void)fprintf(stderr, "replay: no corpus for %s\n", name);
        rc = -1;
    }
    (void)printf("%s: %lu files, %lu inputs\n", name, count.files, count.inputs);
    return rc == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#include "loading.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];
static char paths[16][128];
static size_t n_paths;

const char *path_in(const char *name)
{
    if (folder[0] == '\0') {
        (void)snprintf(folder, sizeof folder, "/tmp/fm-config-XXXXXX");
        cr_assert_not_null(mkdtemp(folder));
    }
    for (size_t i = 0; i < n_paths; i++)
        if (strcmp(paths[i] + strlen(folder) + 1, name) == 0)
            return paths[i];
    cr_assert_lt(n_paths, 16);
    (void)snprintf(paths[n_paths], sizeof paths[0], "%s/%s", folder, name);
    return paths[n_paths++];
}

const char *put_file(const char *name, const char *text, mode_t mode)
{
    const char *path = path_in(name);
    (void)chmod(path, 0600); /* it may be there, and not writable */
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    cr_assert_geq(fputs(text, file), 0);
    cr_assert_eq(fclose(file), 0);
    cr_assert_eq(chmod(path, mode), 0);
    return path;
}

static enum fm_code try_load(struct fm_config **out, const char *text, const char *a, const char *b,
                             struct fm_config_error *errors, size_t *n, struct fm_err *err)
{
    const char *overrides[2] = {a, b};
    struct fm_config_opts opts = {.overrides = overrides,
                                  .n_overrides = a == NULL   ? 0
                                                 : b == NULL ? 1
                                                             : 2,
                                  .errors = errors,
                                  .n_errors = n};
    const char *path = text == NULL ? NULL : put_file("config.ini", text, 0600);
    return fm_config_load(out, path, &opts, err);
}

struct fm_config *load(const char *text, const char *a, const char *b)
{
    struct fm_config *cfg = NULL;
    struct fm_err err = {0};
    enum fm_code code = try_load(&cfg, text, a, b, NULL, NULL, &err);
    cr_assert_eq(code, FM_OK, "%s", err.text);
    return cfg;
}

const char *errors_of(const char *text, const char *a, const char *b)
{
    static char all[FM_CONFIG_ERRORS * 256];
    struct fm_config_error errors[FM_CONFIG_ERRORS];
    struct fm_config *cfg = NULL;
    struct fm_err err = {0};
    size_t n = 99;
    enum fm_code code = try_load(&cfg, text, a, b, errors, &n, &err);
    cr_assert_eq(code, FM_ECONF, "it loaded: %s", text == NULL ? "" : text);
    cr_assert_geq(n, 1);
    cr_assert_str_eq(err.text, errors[0].text);
    size_t used = 0;
    for (size_t i = 0; i < n; i++) {
        const char *line = errors[i].text;
        if (strncmp(line, folder, strlen(folder)) == 0 && folder[0] != '\0')
            line += strlen(folder) + 1;
        used += (size_t)snprintf(all + used, sizeof all - used, "%s\n", line);
    }
    return all;
}

void clean_up(void)
{
    for (size_t i = 0; i < n_paths; i++)
        (void)remove(paths[i]);
    for (size_t i = n_paths; i-- > 0;)
        (void)remove(paths[i]);
    if (folder[0] != '\0')
        (void)rmdir(folder);
    n_paths = 0;
}

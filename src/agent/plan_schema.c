/* The schema of the values, for the formats avro and jsonschema. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/plan.h"
#include "base/jscan.h"
#include "base/thread.h"

enum { MAX_SCHEMA = 1024 * 1024 };

static enum fm_code read_file(const char *path, char **out, size_t *len, struct fm_arena *arena,
                              struct fm_err *err)
{
    FM_AUTO(fm_auto_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0)
        return fm_err_sys(err, errno, "schema_file: %s", path);
    if (!S_ISREG(st.st_mode) || st.st_size > MAX_SCHEMA)
        return fm_err_set(err, FM_ECONF, "schema_file: %s is no file of at most 1 MiB", path);
    size_t size = (size_t)st.st_size, n = 0;
    if ((*out = fm_arena_alloc(arena, size + 1)) == NULL)
        return fm_err_nomem(err);
    for (ssize_t got = 1; n < size && got > 0; n += got > 0 ? (size_t)got : 0)
        if ((got = read(fd, *out + n, size - n)) < 0 && errno != EINTR)
            return fm_err_sys(err, errno, "schema_file: %s", path);
    (*out)[n] = '\0';
    *len = n;
    return FM_OK;
}

static enum fm_code load_schema(struct fm_rest_opts *out, const char *path, struct fm_arena *arena,
                                struct fm_err *err)
{
    char *text = NULL;
    size_t len = 0;
    struct fm_jscan s;
    FM_TRY(read_file(path, &text, &len, arena, err));
    fm_jscan_init(&s, text, len);
    bool ok = fm_jscan_skip(&s, fm_jscan_next(&s)) && fm_jscan_next(&s) == FM_J_END &&
              strlen(text) == len && len > 0;
    if (!ok)
        return fm_err_set(err, FM_ECONF, "schema_file: %s is no schema: not one JSON value", path);
    out->schema = text;
    return FM_OK;
}

enum fm_code fm_plan_schema(struct fm_rest_opts *out, const struct fm_config *config,
                            struct fm_arena *arena, struct fm_err *err)
{
    const struct fm_cfg_rest *rest = &config->rest;
    if (!fm_plan_typed(config))
        return FM_OK;
    out->shape = config->record.shape == FM_CFG_SHAPE_METRIC     ? FM_SCHEMA_METRIC
                 : config->record.shape == FM_CFG_SHAPE_SNAPSHOT ? FM_SCHEMA_SNAPSHOT
                                                                 : FM_SCHEMA_BEAN;
    if (rest->schema_id != NULL)
        out->schema_id = (uint32_t)strtoul(rest->schema_id, NULL, 10); /* checked by config */
    if (rest->schema_file == NULL)
        return FM_OK;
    enum fm_code code = load_schema(out, rest->schema_file, arena, err);
    if (code == FM_ESYS && err != NULL)
        err->code = code = FM_ECONF;
    return code;
}

bool fm_plan_typed(const struct fm_config *config)
{
    return config->rest.format == FM_CFG_FORMAT_AVRO ||
           config->rest.format == FM_CFG_FORMAT_JSONSCHEMA;
}

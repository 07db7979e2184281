/* A configuration file of any bytes: sections, keys, environment, templates, patterns. What loads
 * must also be printable. Files are read from memory-backed descriptors: the parser wants a path.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[32];
    struct fm_config *cfg = NULL;
    struct fm_err err = {0};
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        return 0;
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    const struct fm_config_opts opts = {.faulty = true};
    if (fm_config_load(&cfg, path, &opts, &err) == FM_OK) {
        struct fm_buf out;
        fm_buf_init(&out, 0);
        fm_config_dump(cfg, &out, true);
        fm_buf_clear(&out);
    }
    fm_config_free(cfg);
    (void)close(fd);
    return 0;
}

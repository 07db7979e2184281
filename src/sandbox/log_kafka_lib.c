/* Loading librdkafka. */
#ifdef FM_HAVE_RDKAFKA

#include "sandbox/log_kafka_lib_priv.h"

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

static const char soname[] = "librdkafka.so.1"; /* of every release since 0.9 */

static const struct {
    const char *name;
    size_t place;
} functions[] = {
#define FM_KAFKA_ROW(name) {"rd_kafka_" #name, offsetof(struct fm_kafka_lib, name)},
    FM_KAFKA_FUNCTIONS(FM_KAFKA_ROW)
#undef FM_KAFKA_ROW
};

enum fm_code fm_kafka_lib_open(struct fm_kafka_lib *lib, struct fm_err *err)
{
    *lib = (struct fm_kafka_lib){.handle = dlopen(soname, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE)};
    if (lib->handle == NULL)
        return fm_err_set(err, FM_ECONF, "--kafka: %s cannot be loaded; install librdkafka1 (%s)",
                          soname, dlerror());
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        void *found = dlsym(lib->handle, functions[i].name);
        if (found == NULL) {
            fm_kafka_lib_close(lib);
            return fm_err_set(err, FM_ECONF,
                              "--kafka: the installed %s is too old: it has no %s; install a newer "
                              "librdkafka1",
                              soname, functions[i].name);
        }
        /* ISO C has no conversion from an object pointer to a function's; POSIX makes them alike.
         */
        memcpy((char *)lib + functions[i].place, &found, sizeof found);
    }
    return FM_OK;
}

void fm_kafka_lib_close(struct fm_kafka_lib *lib)
{
    if (lib->handle != NULL)
        (void)dlclose(lib->handle);
    lib->handle = NULL;
}

#else
/* ISO C wants a declaration in every file. */
extern const int fm_kafka_lib_is_empty;
#endif

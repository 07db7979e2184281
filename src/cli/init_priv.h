/* cli/init_priv.h - the inside of `init`: from the JVMs of this host to the text of a
 * configuration. Pure, but for the arena; main thread. */
#ifndef FM_CLI_INIT_PRIV_H
#define FM_CLI_INIT_PRIV_H

#include "base/buf.h"
#include "jmx/local.h"

/** What a main class or a jar betrays. */
struct fm_product {
    const char *preset; /* NULL: none is needed */
    const char *main; /* pattern over main class or jar, its path left out */
    const char *option; /* must stand in the command line too; NULL: nothing must */
    bool tool; /* of who builds software: comes and goes, nobody wants its numbers */
};

struct fm_init_jvm {
    const struct fm_jvm *jvm;
    const char *cmdline;
};

enum { FM_INIT_NAME = 64 };

/** One section [target:NAME]: all JVMs with the same main class or jar. */
struct fm_init_target {
    char name[FM_INIT_NAME + 1];
    const char *glob; /* behind local: */
    const struct fm_product *product; /* NULL: unknown */
    const struct fm_product *also; /* another one with the same jar; NULL: none */
    const struct fm_init_jvm **jvms;
    size_t n_jvms;
    bool usable; /* can be polled; else it is written commented out */
    bool attach;
};

struct fm_init_plan {
    struct fm_init_target *targets; /* the usable ones first, each in the order of the JVMs */
    size_t n_targets;
    size_t n_usable;
};

/** The product of a JVM by its main class or jar. @return NULL: unknown */
const struct fm_product *fm_init_product(const struct fm_init_jvm *jvm);

/** Sections for JVMs; strings lie in the arena. The JDK's own tools are left out.
 * @return FM_OK or FM_ENOMEM */
FM_MUST_USE enum fm_code fm_init_plan(struct fm_init_plan *out, const struct fm_init_jvm *jvms,
                                      size_t n, struct fm_arena *arena, struct fm_err *err);

struct fm_init_opts {
    const char *host; /* name of this host, for the first line */
    const char *url; /* NULL: sandbox, with a place to fill in */
    const char *topic; /* NULL: the default */
};

/** The file. Errors of memory stay in out. */
void fm_init_text(struct fm_buf *out, const struct fm_init_plan *plan,
                  const struct fm_init_opts *opts);

#endif

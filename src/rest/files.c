/* Certificates and keys in files: a file that was replaced is taken over without a restart. */
#include <sys/stat.h>

#include "base/clock.h"
#include "base/hash.h"
#include "rest/rest_priv.h"

enum { LOOK_MS = 5000, DAY_S = 86400 };

static uint64_t mix(uint64_t sum, uint64_t value)
{
    return fm_hash(sum, &value, sizeof value);
}

/* What tells a file from its replacement; a missing one counts too. */
static uint64_t print_of(const struct fm_rest_opts *o)
{
    const char *const paths[] = {o->tls.ca_file, o->tls.cert_file, o->tls.key_file,
                                 o->proxy.ca_file};
    uint64_t sum = FM_HASH_START;
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        struct stat st;
        if (paths[i] == NULL || stat(paths[i], &st) != 0) {
            sum = mix(sum, 1);
            continue;
        }
        sum = mix(sum, (uint64_t)st.st_ino);
        sum = mix(sum, (uint64_t)st.st_size);
        sum = mix(sum, (uint64_t)st.st_mtim.tv_sec);
        sum = mix(sum, (uint64_t)st.st_mtim.tv_nsec);
    }
    return sum;
}

void fm_files_init(struct fm_rest *rest)
{
    const struct fm_rest_opts *o = &rest->conf->o;
    rest->files_print = print_of(o);
    rest->files_at = 0;
    rest->cert_until = o->tls.cert_file != NULL ? fm_net_cert_until(o->tls.cert_file) : 0;
}

int fm_files_cert_days(const struct fm_rest *rest)
{
    if (rest->cert_until == 0)
        return -1;
    int64_t left = rest->cert_until - fm_wall_ms() / 1000;
    return left > 0 ? (int)(left / DAY_S) : 0;
}

void fm_files_step(struct fm_rest *rest, int64_t now, int64_t *due)
{
    const struct fm_rest_opts *o = &rest->conf->o;
    if (o->tls.ca_file == NULL && o->tls.cert_file == NULL && o->tls.key_file == NULL &&
        o->proxy.ca_file == NULL)
        return;
    unsigned every = o->hold_interval_ms < LOOK_MS ? o->hold_interval_ms : LOOK_MS;
    if (rest->files_at == 0)
        rest->files_at = now + every;
    if (now >= rest->files_at) {
        rest->files_at = now + every;
        uint64_t print = print_of(o);
        struct fm_rest_conf *again = NULL;
        struct fm_err err;
        if (print != rest->files_print && fm_rest_conf_new(&again, o, &err) == FM_OK) {
            /* Kept connections and TLS sessions know the old files: begin anew, as at a reload. */
            rest->files_print = print;
            again->renewed = true;
            pthread_mutex_lock(&rest->lock);
            bool newer = rest->next_conf != NULL;
            if (!newer)
                rest->next_conf = again;
            pthread_mutex_unlock(&rest->lock);
            if (newer)
                fm_rest_conf_free(again);
            fm_log(rest->log, FM_LOG_INFO,
                   "a certificate or key file of [rest] changed: connections are made anew");
            *due = now;
        }
    }
    *due = rest->files_at < *due ? rest->files_at : *due;
}

/* What libcurl has read from a file of certificates it may use again, for as long as the file stays
 * the same: reading the system's bundle costs as much as many handshakes. libcurl itself knows only
 * a greatest age, in seconds; so that is the time since the file was last seen to be another. What
 * was read before then is older, and what was read in that very second is read once more. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "net/client_priv.h"

struct fm_net_ca {
    char *path;
    struct stat as_seen;
    int64_t since_ms;
};

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* @return NULL: no memory, or too many of them */
static struct fm_net_ca *ca_of(struct fm_client *client, const char *path)
{
    for (size_t i = 0; i < client->n_cas; i++)
        if (strcmp(client->cas[i].path, path) == 0)
            return &client->cas[i];
    if (client->n_cas == FM_NET_CAS)
        return NULL;
    struct fm_net_ca *more = realloc(client->cas, (client->n_cas + 1) * sizeof *more);
    if (more == NULL)
        return NULL;
    client->cas = more;
    more += client->n_cas;
    *more = (struct fm_net_ca){.path = strdup(path)};
    if (more->path == NULL)
        return NULL;
    client->n_cas++;
    return more;
}

long fm_net_ca_age(struct fm_client *client, const char *path)
{
    struct stat now;
    struct fm_net_ca *ca = stat(path, &now) == 0 ? ca_of(client, path) : NULL;
    if (ca == NULL)
        return 0;
    if (ca->since_ms == 0 || !same_file(&ca->as_seen, &now)) {
        ca->as_seen = now;
        ca->since_ms = fm_clock_ms();
    }
    int64_t s = (fm_clock_ms() - ca->since_ms) / 1000;
    return s < FM_NET_CA_MOST_S ? (long)s : FM_NET_CA_MOST_S;
}

void fm_net_ca_clear(struct fm_client *client)
{
    for (size_t i = 0; i < client->n_cas; i++)
        free(client->cas[i].path);
    free(client->cas);
    client->cas = NULL;
    client->n_cas = 0;
}

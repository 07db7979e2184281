#include "config/presets.h"

#include <string.h>

#include "config/presets_priv.h"

/* Sorted by name. */
static const struct fm_preset *const shipped[] = {
    &fm_preset_activemq,     &fm_preset_artemis,       &fm_preset_cassandra,     &fm_preset_hadoop,
    &fm_preset_hbase,        &fm_preset_hikaricp,      &fm_preset_jetty,         &fm_preset_jvm,
    &fm_preset_kafka_broker, &fm_preset_kafka_clients, &fm_preset_kafka_connect, &fm_preset_solr,
    &fm_preset_tomcat,       &fm_preset_wildfly,       &fm_preset_zookeeper,
};
enum { N_SHIPPED = sizeof shipped / sizeof shipped[0] };

bool fm_preset_at(size_t i, struct fm_preset *out)
{
    if (i >= N_SHIPPED)
        return false;
    *out = *shipped[i];
    return true;
}

bool fm_preset_find(const char *name, struct fm_preset *out)
{
    for (size_t i = 0; i < N_SHIPPED; i++) {
        if (strcmp(shipped[i]->name, name) != 0)
            continue;
        *out = *shipped[i];
        return true;
    }
    return false;
}

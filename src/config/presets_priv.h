/* config/presets_priv.h - one file for each shipped preset, in presets/. */
#ifndef FM_CONFIG_PRESETS_PRIV_H
#define FM_CONFIG_PRESETS_PRIV_H

#include "config/presets.h"

extern const struct fm_preset fm_preset_activemq;
extern const struct fm_preset fm_preset_artemis;
extern const struct fm_preset fm_preset_cassandra;
extern const struct fm_preset fm_preset_hadoop;
extern const struct fm_preset fm_preset_hbase;
extern const struct fm_preset fm_preset_hikaricp;
extern const struct fm_preset fm_preset_jetty;
extern const struct fm_preset fm_preset_jvm;
extern const struct fm_preset fm_preset_kafka_broker;
extern const struct fm_preset fm_preset_kafka_clients;
extern const struct fm_preset fm_preset_kafka_connect;
extern const struct fm_preset fm_preset_solr;
extern const struct fm_preset fm_preset_tomcat;
extern const struct fm_preset fm_preset_wildfly;
extern const struct fm_preset fm_preset_zookeeper;

#endif

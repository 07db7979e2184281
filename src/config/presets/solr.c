#include "config/presets_priv.h"

const struct fm_preset fm_preset_solr = {
    .name = "solr",
    .about = "Solr 7 and later with its JMX reporter: searchers, index, requests, caches",
    .live = "Solr 9.10.1",
    .text = "[query:searchers]\n"
            "bean = solr:category=SEARCHER,scope=searcher,*\n"
            "where.name = ^(numDocs|maxDoc|warmupTime)$\n"
            "attributes = Value\n"
            "\n"
            "[query:index]\n"
            "bean = solr:category=INDEX,name=sizeInBytes,*\n"
            "attributes = Value\n"
            "\n"
            "[query:requests]\n"
            "bean = solr:category=QUERY,* | solr:category=UPDATE,*\n"
            "where.dom1 = ^core$\n"
            "where.name = ^(requests|errors|timeouts|totalTime)$\n"
            "attributes = Count, Value\n"
            "\n"
            "[query:request-times]\n"
            "bean = solr:category=QUERY,name=requestTimes,* | "
            "solr:category=UPDATE,name=requestTimes,*\n"
            "where.dom1 = ^core$\n"
            "attributes = Count, Mean, 50thPercentile, 95thPercentile, 99thPercentile, "
            "OneMinuteRate\n"
            "\n"
            "[query:caches]\n"
            "bean = solr:category=CACHE,scope=searcher,*\n"
            "where.name = ^(queryResultCache|filterCache|documentCache)$\n"
            "attributes = cumulative_lookups, cumulative_hits, cumulative_inserts, "
            "cumulative_evictions, ramBytesUsed\n",
};

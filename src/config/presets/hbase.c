#include "config/presets_priv.h"

const struct fm_preset fm_preset_hbase = {
    .name = "hbase",
    .about = "HBase: master and region servers",
    .live = "HBase 2.6.1",
    .text = "[query:master]\n"
            "bean = Hadoop:service=HBase,name=Master,sub=Server\n"
            "attributes = numRegionServers, numDeadRegionServers\n"
            "\n"
            "[query:assignment]\n"
            "bean = Hadoop:service=HBase,name=Master,sub=AssignmentManager\n"
            "attributes = ritCount, ritCountOverThreshold, ritOldestAge\n"
            "\n"
            "[query:regionserver]\n"
            "bean = Hadoop:service=HBase,name=RegionServer,sub=Server\n"
            "attributes = regionCount, storeFileCount, storeFileSize, hlogFileCount, "
            "percentFilesLocal, flushQueueLength, compactionQueueLength, writeRequestCount, "
            "readRequestCount, blockCacheHitCount, blockCacheMissCount, slowGetCount, "
            "slowPutCount, slowDeleteCount, slowAppendCount, slowIncrementCount, "
            "updatesBlockedTime, Get_m*, Get_99th_percentile, Put_m*, Put_99th_percentile, "
            "Delete_m*, Delete_99th_percentile, Append_m*, Append_99th_percentile, "
            "Increment_m*, Increment_99th_percentile, Replay_m*, Replay_99th_percentile\n"
            "\n"
            "[query:ipc]\n"
            "bean = Hadoop:service=HBase,name=RegionServer,sub=IPC | "
            "Hadoop:service=HBase,name=Master,sub=IPC\n"
            "attributes = numOpenConnections, numActiveHandler, numCallsInGeneralQueue, "
            "numCallsInPriorityQueue, numCallsInReplicationQueue, authenticationSuccesses, "
            "authenticationFailures\n"
            "\n"
            "[query:jvm]\n"
            "bean = Hadoop:service=HBase,name=JvmMetrics\n"
            "attributes = GcTimeMillis*, GcCount\n",
};

#include "config/presets_priv.h"

const struct fm_preset fm_preset_hadoop = {
    .name = "hadoop",
    .about = "Hadoop HDFS: NameNode and DataNodes",
    .live = "Hadoop 3.4.1",
    .text = "[query:namesystem]\n"
            "bean = Hadoop:service=NameNode,name=FSNamesystem\n"
            "attributes = CapacityTotal, CapacityUsed, CapacityRemaining, "
            "CapacityUsedNonDFS, BlocksTotal, MissingBlocks, CorruptBlocks, FilesTotal, "
            "TotalLoad, NumLiveDataNodes, NumDeadDataNodes, NumDecomDeadDataNodes, "
            "NumInMaintenanceDeadDataNodes, VolumeFailuresTotal, tag.Hostname\n"
            "\n"
            "[query:namesystem-state]\n"
            "bean = Hadoop:service=NameNode,name=FSNamesystemState\n"
            "attributes = VolumeFailuresTotal, UnderReplicatedBlocks, BlocksTotal\n"
            "\n"
            "[query:datasets]\n"
            "bean = Hadoop:service=DataNode,name=FSDatasetState\n"
            "attributes = Capacity, DfsUsed, Remaining, NumBlocksCached, "
            "NumBlocksFailedToCache, NumBlocksFailedToUnCache, NumFailedVolumes\n"
            "\n"
            "[query:rpc]\n"
            "bean = Hadoop:service=NameNode,name=RpcActivityForPort* | "
            "Hadoop:service=DataNode,name=RpcActivityForPort*\n"
            "attributes = RpcQueueTimeAvgTime, RpcProcessingTimeAvgTime, CallQueueLength, "
            "NumOpenConnections, RpcQueueTimeNumOps, RpcSlowCalls, ReceivedBytes, SentBytes\n"
            "\n"
            "[query:datanodes]\n"
            "bean = Hadoop:service=DataNode,name=DataNodeActivity-*\n"
            "attributes = BytesRead, BytesWritten, BlocksRead, BlocksWritten, BlocksRemoved, "
            "VolumeFailures\n"
            "\n"
            "[query:jvm]\n"
            "bean = Hadoop:service=NameNode,name=JvmMetrics | "
            "Hadoop:service=DataNode,name=JvmMetrics\n"
            "attributes = MemHeapUsedM, GcTimeMillis, GcCount, ThreadsBlocked, "
            "ThreadsRunnable, ThreadsWaiting\n",
};

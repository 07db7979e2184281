#include "config/presets_priv.h"

const struct fm_preset fm_preset_zookeeper = {
    .name = "zookeeper",
    .about = "ZooKeeper, alone or in an ensemble: latency, connections, role, data tree",
    .live = "ZooKeeper 3.9.5",
    .text = "[query:server]\n"
            "bean = org.apache.ZooKeeperService:name0=StandaloneServer_port* | "
            "org.apache.ZooKeeperService:name0=ReplicatedServer_id*,name1=replica.*,name2=Lea"
            "der | org.apache.ZooKeeperService:name0=ReplicatedServer_id*,name1=replica.*,nam"
            "e2=Follower | org.apache.ZooKeeperService:name0=ReplicatedServer_id*,name1=repli"
            "ca.*,name2=Observer\n"
            "attributes = AvgRequestLatency, MinRequestLatency, MaxRequestLatency, "
            "OutstandingRequests, NumAliveConnections, DataDirSize, LogDirSize, "
            "MaxClientCnxnsPerHost, TickTime, TxnLogElapsedSyncTime, PacketsReceived, "
            "PacketsSent, FsyncThresholdExceedCount, AuthFailedCount, Version, StartTime, "
            "ElectionTimeTaken, PendingRevalidationCount, CurrentZxid, LastQueuedZxid\n"
            "\n"
            "[query:ensemble]\n"
            "bean = org.apache.ZooKeeperService:name0=ReplicatedServer_id*\n"
            "attributes = QuorumSize, Name\n"
            "\n"
            "[query:members]\n"
            "bean = org.apache.ZooKeeperService:name0=ReplicatedServer_id*,name1=replica.*\n"
            "attributes = State, LearnerType, Leader, PartOfEnsemble, Tick, ConfigVersion\n"
            "\n"
            "[query:tree]\n"
            "bean = org.apache.ZooKeeperService:name0=*,name1=InMemoryDataTree | "
            "org.apache.ZooKeeperService:name0=*,name1=*,name2=*,name3=InMemoryDataTree\n"
            "attributes = NodeCount, WatchCount, LastZxid\n",
};

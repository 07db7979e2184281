#include "config/presets_priv.h"

const struct fm_preset fm_preset_activemq = {
    .name = "activemq",
    .about = "ActiveMQ Classic: broker, queues, topics, durable subscriptions",
    .live = "ActiveMQ 6.1.7",
    .dump = "5.18.6",
    .text = "[query:broker]\n"
            "bean = org.apache.activemq:type=Broker,brokerName=*\n"
            "attributes = MemoryPercentUsage, StorePercentUsage, TempPercentUsage, "
            "MemoryLimit, StoreLimit, TempLimit, CurrentConnectionsCount, "
            "TotalConsumerCount, TotalProducerCount, TotalMessageCount, "
            "JobSchedulerStorePercentUsage, TotalEnqueueCount, TotalDequeueCount, "
            "TotalConnectionsCount, UptimeMillis\n"
            "\n"
            "[query:destinations]\n"
            "bean = org.apache.activemq:type=Broker,brokerName=*,destinationType=Queue,destin"
            "ationName=* | org.apache.activemq:type=Broker,brokerName=*,destinationType=Topic"
            ",destinationName=*\n"
            "exclude = org.apache.activemq:type=Broker,brokerName=*,destinationType=Topic,des"
            "tinationName=ActiveMQ.Advisory.*\n"
            "attributes = QueueSize, ConsumerCount, ProducerCount, MemoryPercentUsage, "
            "MemoryUsageByteCount, MemoryLimit, TempUsagePercentUsage, TempUsageLimit, "
            "InFlightCount, EnqueueCount, DequeueCount, DispatchCount, ExpiredCount, "
            "ForwardCount, BlockedSends, AverageEnqueueTime, MinEnqueueTime, MaxEnqueueTime, "
            "AverageBlockedTime, StoreMessageSize, CursorMemoryUsage, Paused\n"
            "\n"
            "[query:durable-subscriptions]\n"
            "bean = org.apache.activemq:type=Broker,brokerName=*,destinationType=Topic,destin"
            "ationName=*,endpoint=Consumer,clientId=*,consumerId=Durable(*)\n"
            "attributes = PendingQueueSize, DispatchedQueueSize, "
            "MessageCountAwaitingAcknowledge, EnqueueCounter, DequeueCounter, "
            "DispatchedCounter, Active\n",
};

#include "config/presets_priv.h"

const struct fm_preset fm_preset_artemis = {
    .name = "artemis",
    .about =
        "ActiveMQ Artemis: broker, addresses, queues (its guard wants a login: use the connector "
        "of management.xml)",
    .live = "Artemis 2.40.0",
    .text = "[query:broker]\n"
            "bean = org.apache.activemq.artemis:broker=*\n"
            "attributes = AddressMemoryUsage, AddressMemoryUsagePercentage, DiskStoreUsage, "
            "MaxDiskUsage, ConnectionCount, TotalConsumerCount, TotalMessageCount, "
            "TotalConnectionCount, TotalMessagesAdded, TotalMessagesAcknowledged\n"
            "\n"
            "[query:addresses]\n"
            "bean = org.apache.activemq.artemis:broker=*,component=addresses,address=*\n"
            "attributes = AddressSize, AddressLimitPercent, MessageCount, NumberOfMessages, "
            "NumberOfPages, NumberOfBytesPerPage, RoutedMessageCount, UnRoutedMessageCount, "
            "Paging, Paused\n"
            "\n"
            "[query:queues]\n"
            "bean = org.apache.activemq.artemis:broker=*,component=addresses,address=*,subcom"
            "ponent=queues,routing-type=*,queue=*\n"
            "attributes = MessageCount, ConsumerCount, MaxConsumers, DeliveringCount, "
            "ScheduledCount, PersistentSize, FirstMessageAge, MessagesAdded, "
            "MessagesAcknowledged, MessagesExpired, MessagesKilled\n",
};

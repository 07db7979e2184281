#include "config/presets_priv.h"

const struct fm_preset fm_preset_hikaricp = {
    .name = "hikaricp",
    .about = "HikariCP connection pools (needs registerMbeans=true)",
    .live = "HikariCP 6.3.0",
    .dump = "Spring Boot 3.5.9",
    .text = "[query:pools]\n"
            "bean = com.zaxxer.hikari:type=Pool (*)\n"
            "attributes = ActiveConnections, IdleConnections, TotalConnections, "
            "ThreadsAwaitingConnection\n"
            "\n"
            "[query:limits]\n"
            "bean = com.zaxxer.hikari:type=PoolConfig (*)\n"
            "attributes = MaximumPoolSize, MinimumIdle, ConnectionTimeout, IdleTimeout, "
            "MaxLifetime, LeakDetectionThreshold\n",
};

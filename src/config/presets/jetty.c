#include "config/presets_priv.h"

const struct fm_preset fm_preset_jetty = {
    .name = "jetty",
    .about = "Jetty 9.4 to 12: thread pools, requests, connections, sessions (needs "
             "module jmx)",
    .live = "Jetty 12.1.0",
    .dump = "9.4.57, 10.0.24",
    .text = "[query:threads]\n"
            "bean = org.eclipse.jetty.util.thread:type=queuedthreadpool,*\n"
            "attributes = threads, busyThreads, idleThreads, readyThreads, minThreads, "
            "maxThreads, queueSize, utilizationRate, lowOnThreads\n"
            "\n"
            "[query:selectors]\n"
            "bean = org.eclipse.jetty.io:type=managedselector,*\n"
            "attributes = selectCount\n"
            "\n"
            "[query:requests]\n"
            "bean = org.eclipse.jetty.server.handler:type=statisticshandler,*\n"
            "attributes = requests, requestTotal, responses?xx, requestTimeTotal, "
            "requestsActive, requestsActiveMax, requestTimeMax, requestTimeMean, errors, "
            "failures, handlingFailures, responsesThrown, responsesBytesTotal, bytesRead, "
            "bytesWritten\n"
            "\n"
            "[query:connections]\n"
            "bean = org.eclipse.jetty.io:type=connectionstatistics,*\n"
            "attributes = connections, connectionsMax, connectionDurationMean, "
            "connectionsTotal, receivedBytes, sentBytes, receivedMessages, sentMessages\n"
            "\n"
            "[query:sessions]\n"
            "bean = org.eclipse.jetty.server.session:type=sessionhandler,* | "
            "org.eclipse.jetty.*.servlet:type=sessionhandler,*\n"
            "attributes = sessionsCreated, sessionTimeTotal, sessionTimeMax, sessionTimeMean\n"
            "\n"
            "[query:session-caches]\n"
            "bean = org.eclipse.jetty.server.session:type=defaultsessioncache,* | "
            "org.eclipse.jetty.session:type=defaultsessioncache,*\n"
            "attributes = sessionsCurrent, sessionsMax, sessionsTotal\n",
};

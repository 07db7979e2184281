/* sandbox/log_kafka_lib_priv.h - librdkafka, loaded when a sandbox asks for a Kafka and not before.
 *
 * Linked in the ordinary way it would cost every agent a quarter of a megabyte and each start some
 * 60 page faults, for a command that only tests and demonstrations use. */
#ifndef FM_SANDBOX_LOG_KAFKA_LIB_PRIV_H
#define FM_SANDBOX_LOG_KAFKA_LIB_PRIV_H

#include <librdkafka/rdkafka.h>

#include "firstmile/err.h"

/* What is used of it, each without its "rd_kafka_". */
#define FM_KAFKA_FUNCTIONS(X)                                                                      \
    X(AdminOptions_destroy)                                                                        \
    X(AdminOptions_new)                                                                            \
    X(AdminOptions_set_operation_timeout)                                                          \
    X(AdminOptions_set_request_timeout)                                                            \
    X(ConfigEntry_name)                                                                            \
    X(ConfigEntry_value)                                                                           \
    X(ConfigResource_configs)                                                                      \
    X(ConfigResource_destroy)                                                                      \
    X(ConfigResource_new)                                                                          \
    X(CreateTopics)                                                                                \
    X(CreateTopics_result_topics)                                                                  \
    X(DescribeConfigs)                                                                             \
    X(DescribeConfigs_result_resources)                                                            \
    X(NewTopic_destroy)                                                                            \
    X(NewTopic_new)                                                                                \
    X(NewTopic_set_config)                                                                         \
    X(assign)                                                                                      \
    X(conf_destroy)                                                                                \
    X(conf_new)                                                                                    \
    X(conf_set)                                                                                    \
    X(conf_set_dr_msg_cb)                                                                          \
    X(conf_set_error_cb)                                                                           \
    X(conf_set_log_cb)                                                                             \
    X(conf_set_opaque)                                                                             \
    X(consumer_close)                                                                              \
    X(consumer_poll)                                                                               \
    X(destroy)                                                                                     \
    X(err2name)                                                                                    \
    X(err2str)                                                                                     \
    X(error_code)                                                                                  \
    X(error_destroy)                                                                               \
    X(event_CreateTopics_result)                                                                   \
    X(event_DescribeConfigs_result)                                                                \
    X(event_destroy)                                                                               \
    X(event_error)                                                                                 \
    X(header_add)                                                                                  \
    X(header_get_all)                                                                              \
    X(headers_destroy)                                                                             \
    X(headers_new)                                                                                 \
    X(message_destroy)                                                                             \
    X(message_headers)                                                                             \
    X(message_timestamp)                                                                           \
    X(metadata)                                                                                    \
    X(metadata_destroy)                                                                            \
    X(new)                                                                                         \
    X(poll)                                                                                        \
    X(produceva)                                                                                   \
    X(purge)                                                                                       \
    X(query_watermark_offsets)                                                                     \
    X(queue_destroy)                                                                               \
    X(queue_new)                                                                                   \
    X(queue_poll)                                                                                  \
    X(topic_destroy)                                                                               \
    X(topic_new)                                                                                   \
    X(topic_partition_list_add)                                                                    \
    X(topic_partition_list_destroy)                                                                \
    X(topic_partition_list_new)                                                                    \
    X(topic_result_error)

struct fm_kafka_lib {
    void *handle;
    /* NOLINTNEXTLINE(bugprone-macro-parentheses): the name of a member */
#define FM_KAFKA_MEMBER(name) __typeof__(rd_kafka_##name) *name;
    FM_KAFKA_FUNCTIONS(FM_KAFKA_MEMBER)
#undef FM_KAFKA_MEMBER
};

/* Load it. Blocks while the loader reads the library; any thread. @return FM_ECONF if it is not
 * installed or too old, with what to install */
enum fm_code fm_kafka_lib_open(struct fm_kafka_lib *lib, struct fm_err *err);

/* Give up the handle; the code stays, since the library's own threads and keys may outlive it. */
void fm_kafka_lib_close(struct fm_kafka_lib *lib);

#endif

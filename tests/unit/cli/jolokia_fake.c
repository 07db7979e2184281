#include "jolokia_fake.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "peer.h"

struct jolokia jolokia;
static struct peer *peer;
static const char *const *beans;

/* The names asked for: one, or with a pattern all. */
static json_t *search(const char *name)
{
    json_t *list = json_array();
    for (size_t i = 0; beans[i] != NULL; i++)
        if (strchr(name, '*') != NULL || strcmp(name, beans[i]) == 0)
            json_array_append_new(list, json_string(beans[i]));
    return list;
}

/* The attribute Broken is left out when others are read too, as an agent does. */
static bool only_broken(const json_t *attribute)
{
    if (json_array_size(attribute) == 1)
        attribute = json_array_get(attribute, 0);
    const char *name = json_string_value(attribute);
    return name != NULL && strcmp(name, "Broken") == 0;
}

static json_t *answer_item(const json_t *item)
{
    const char *type = json_string_value(json_object_get(item, "type"));
    const char *bean = json_string_value(json_object_get(item, "mbean"));
    json_t *value = NULL;
    type = type != NULL ? type : "";
    bean = bean != NULL ? bean : "";
    if (strcmp(type, "search") == 0)
        value = search(bean);
    else if (strcmp(type, "list") == 0)
        value = json_pack("{s:s, s:{s:{s:s}, s:{s:s}, s:{s:s}, s:{s:s}, s:{s:s}}}", "class", "X",
                          "attr", "Count", "type", "long", "Evil", "type", "java.lang.String",
                          "Wide", "type", "java.lang.String", "Broken", "type", "long",
                          "AdminToken", "type", "java.lang.String");
    else if (strcmp(type, "read") == 0 && only_broken(json_object_get(item, "attribute")))
        return json_pack("{s:i, s:s, s:s}", "status", 500, "error_type",
                         "java.lang.IllegalStateException", "error", "out of order");
    else if (strcmp(type, "read") == 0 && strstr(bean, "Runtime") != NULL)
        value = json_pack("{s:s, s:i}", "Name", "7@fake", "StartTime", 1000 + jolokia.restarts);
    else if (strcmp(type, "read") == 0)
        value = json_pack("{s:i, s:s, s:s}", "Count", 1000 * ++jolokia.polls, "Evil",
                          "\033]0;evil\007\033[2J\t\xc2\x9b", "Wide", "\u4e2d\u6587\u5b57");
    if (value == NULL)
        return json_pack("{s:i, s:s, s:s}", "status", 404, "error_type", "X", "error", "no");
    return json_pack("{s:i, s:i, s:o}", "status", 200, "timestamp", 1, "value", value);
}

/* @return the text, for free() */
static char *answer(const char *body)
{
    json_t *asked = json_loads(body, 0, NULL);
    json_t *all = json_is_array(asked) ? json_array() : answer_item(asked);
    size_t i;
    json_t *item;
    json_array_foreach (asked, i, item)
        json_array_append_new(all, answer_item(item));
    char *text = json_dumps(all, JSON_ENSURE_ASCII);
    json_decref(all);
    json_decref(asked);
    return text;
}

static void script(struct peer_conn *conn, unsigned nth, void *arg)
{
    struct peer_request request;
    bool open = true;
    (void)nth;
    (void)arg;
    while (open && jolokia.down != 1 && peer_read_request(conn, &request)) {
        if (jolokia.down == 2)
            peer_stall(conn, 0);
        char *text = answer(request.body);
        open = jolokia.down == 0 && peer_answer(conn, 200, text);
        free(text);
        peer_request_clear(&request);
    }
}

void jolokia_start(const char *const *names)
{
    beans = names;
    peer = peer_start(script, NULL);
}

uint16_t jolokia_port(void)
{
    return peer_port(peer);
}

void jolokia_stop(void)
{
    peer_stop(peer);
}

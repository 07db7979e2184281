/* What was asked of `watch` and is not there: its name, and the one that was probably meant. */
#include <string.h>

#include "cli/cmd_watch_priv.h"

/* "A" of "A/b" */
static const char *attribute_of(struct fm_arena *arena, const char *path)
{
    size_t len = 0;
    while (path[len] != '\0' && path[len] != '/')
        len += path[len] == '\\' && path[len + 1] != '\0' ? 2 : 1;
    const char *name = fm_arena_strndup(arena, path, len);
    return name != NULL ? name : path;
}

static bool has_path(const char *path, const char *wanted)
{
    size_t len = strlen(wanted);
    return strncmp(path, wanted, len) == 0 && (path[len] == '\0' || path[len] == '/');
}

/* Under the lock. */
static bool came(const struct fm_watch *w, const struct fm_name *bean, const char *wanted)
{
    bool any = fm_name_is_pattern(bean);
    for (size_t i = 0; i < w->set.n; i++) {
        const struct fm_series *s = w->set.items[i];
        if ((any || strcmp(s->bean, bean->canonical) == 0) && has_path(s->path, wanted))
            return true;
    }
    return false;
}

struct absent {
    const char *bean, *attribute; /* attribute NULL: the bean itself */
};

/* The first attribute, written out, that no sample held. */
static bool find_absent(struct fm_watch *w, struct absent *out)
{
    const struct fm_words *words = w->words;
    struct fm_name bean = {.canonical = ""};
    struct fm_err err = {0};
    bool found = false;
    (void)pthread_mutex_lock(&w->lock);
    for (size_t i = 1; i < words->n && !found; i++) {
        const char *word = words->items[i];
        if (strchr(word, ':') != NULL) {
            if (fm_name_parse(&bean, &w->cli->arena, word, &err) != FM_OK)
                break; /* several patterns in one word */
            out->bean = word;
        } else if (strpbrk(word, "*?!") == NULL && !came(w, &bean, word)) {
            out->attribute = word;
            found = true;
        }
    }
    (void)pthread_mutex_unlock(&w->lock);
    return found;
}

/* A bean of that name or pattern; "": there is none. */
static const char *bean_there(struct fm_session *s, const char *name)
{
    struct fm_value names;
    struct fm_err err = {0};
    if (fm_session_names(s, name, &names, &err) != FM_OK || names.array.n == 0)
        return "";
    return names.array.items[0].text.ptr;
}

static void tell(struct fm_watch *w, const struct absent *absent, char *out, size_t size)
{
    struct fm_session s = {.target = NULL};
    struct fm_err err = {0};
    const char *near = "", *bean = "";
    const char *target = w->words->items[0];
    if (fm_session_open(&s, w->cli, target, &err) == FM_OK) {
        bean = bean_there(&s, absent->bean);
        if (bean[0] == '\0')
            near = fm_session_near_bean(&s, absent->bean);
        else if (absent->attribute != NULL)
            near = fm_session_near_attribute(&s, bean,
                                             attribute_of(&w->cli->arena, absent->attribute));
    }
    bool attribute = bean[0] != '\0' && absent->attribute != NULL;
    if (attribute && near[0] != '\0' && has_path(absent->attribute, near)) { /* in it, then */
        (void)snprintf(
            out, size,
            "%.50s: %.60s: %.30s has nothing at %.30s; \"firstmile get\" shows what it has", target,
            absent->bean, near, absent->attribute + strlen(near) + 1);
        fm_session_close(&s);
        return;
    }
    int n = snprintf(
        out, size, "%.60s: %.70s %s%.50s", target, attribute ? absent->bean : "no MBean matches",
        attribute ? "has no attribute " : "", attribute ? absent->attribute : absent->bean);
    size_t used = n > 0 && (size_t)n < size ? (size_t)n : size;
    if (near[0] != '\0')
        (void)snprintf(out + used, size - used, "; did you mean %.70s?", near);
    else
        (void)snprintf(out + used, size - used, "; \"firstmile beans %.40s%s\" lists them", target,
                       attribute ? " -l" : "");
    fm_session_close(&s);
}

void fm_watch_hint(struct fm_watch *w, struct fm_err *err)
{
    struct absent absent = {NULL, NULL};
    char text[240];
    if (w->words->n < 2)
        return;
    (void)find_absent(w, &absent);
    absent.bean = absent.bean != NULL ? absent.bean : w->words->items[1];
    tell(w, &absent, text, sizeof text);
    (void)fm_err_set(err, FM_ENOTFOUND, "%s", text);
}

void fm_watch_tell_absent(struct fm_watch *w)
{
    struct absent absent = {NULL, NULL};
    if (w->looked)
        return;
    w->looked = true;
    if (find_absent(w, &absent))
        tell(w, &absent, w->absent, sizeof w->absent);
    if (w->absent[0] != '\0' && !w->live)
        fm_cmd_note(w->cli, "%s", w->absent);
}

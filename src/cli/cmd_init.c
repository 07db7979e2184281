/* cli/cmd_init.c - `init [FILE]`: a first configuration from the JVMs that run here. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/thread.h"
#include "cli/cmd.h"
#include "cli/init_priv.h"
#include "config/config.h"

struct init_opts {
    bool force;
    bool to_stdout;
    const char *url;
    const char *topic;
};

/* ---- what the options say must be good before it stands in a file ---- */

static enum fm_code check_setting(const char *option, const char *key, const char *value,
                                  struct fm_err *err)
{
    char setting[1024];
    struct fm_config *config = NULL;
    if (value == NULL)
        return FM_OK;
    int n = snprintf(setting, sizeof setting, "%s=%s", key, value);
    if (n < 0 || (size_t)n >= sizeof setting)
        return fm_err_set(err, FM_EUSAGE, "init: %s: the text is too long", option);
    const char *const settings[] = {setting};
    const struct fm_config_opts opts = {.overrides = settings, .n_overrides = 1};
    enum fm_code code = fm_config_load(&config, NULL, &opts, err);
    fm_config_free(config);
    if (code != FM_ECONF)
        return code;
    /* "-o: [rest] url: sentence" */
    char why[sizeof err->text];
    const char *sentence = strstr(err->text, "] ");
    sentence = sentence != NULL ? strstr(sentence, ": ") : NULL;
    (void)snprintf(why, sizeof why, "%s", sentence != NULL ? sentence + 2 : err->text);
    return fm_err_set(err, FM_EUSAGE, "init: %s: %s", option, why);
}

/* ---- what runs here ---- */

static enum fm_code look(struct fm_init_plan *plan, size_t *n_jvms, struct fm_arena *arena,
                         struct fm_err *err)
{
    struct fm_jvm *jvms = NULL;
    FM_TRY(fm_jvms_find(&jvms, n_jvms, arena, NULL, err));
    struct fm_init_jvm *seen = fm_arena_array(arena, *n_jvms + 1, sizeof *seen);
    if (seen == NULL)
        return fm_err_nomem(err);
    for (size_t i = 0; i < *n_jvms; i++)
        seen[i] = (struct fm_init_jvm){&jvms[i], fm_jvm_cmdline(&jvms[i], arena)};
    return fm_init_plan(plan, seen, *n_jvms, arena, err);
}

/* ---- the file ---- */

static enum fm_code cannot_write(struct fm_err *err, const char *path, int sys)
{
    return fm_err_set(err, FM_ESYS, "init: cannot write %.150s: %s%s", path, strerrordesc_np(sys),
                      sys == ENOENT ? "; make its folder first"
                      : sys == EACCES || sys == EROFS
                          ? "; name a FILE where you may write, or use --stdout"
                          : "");
}

static enum fm_code there_already(struct fm_err *err, const char *path)
{
    return fm_err_set(err, FM_EEXIST,
                      "init: %.150s is there already and stays as it is; --force replaces it, "
                      "--stdout only prints",
                      path);
}

static int write_all(int fd, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, text, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        text += n;
        len -= (size_t)n;
    }
    return fsync(fd) == 0 ? 0 : errno;
}

/* Under its own name only when it is whole. link() refuses a name that is taken, so that nothing
 * is lost to whoever was quicker. */
static int put_in_place(const char *made, const char *path, bool force)
{
    if (force)
        return rename(made, path) == 0 ? 0 : errno;
    if (link(made, path) != 0)
        return errno;
    (void)unlink(made);
    return 0;
}

static enum fm_code check_made(const char *made, struct fm_err *err)
{
    struct fm_config *config = NULL;
    struct fm_err why = {0};
    enum fm_code code = fm_config_load(&config, made, NULL, &why);
    fm_config_free(config);
    if (code == FM_OK || code == FM_ENOMEM)
        return code == FM_OK ? FM_OK : fm_err_nomem(err);
    return fm_err_set(err, FM_EBUG, "init: nothing was written, its text would be refused: %s",
                      fm_err_text(&why));
}

static enum fm_code write_file(const char *path, struct fm_buf *text, bool force,
                               struct fm_err *err)
{
    char real[PATH_MAX], made[PATH_MAX + 16];
    struct stat st;
    if (force && realpath(path, real) != NULL)
        path = real; /* the file behind a link is replaced, not the link */
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return fm_err_set(err, FM_EUSAGE, "init: %.150s is a folder; name a file", path);
    if (!force && lstat(path, &st) == 0)
        return there_already(err, path);
    int n = snprintf(made, sizeof made, "%s.XXXXXX", path);
    if (n < 0 || n >= PATH_MAX)
        return fm_err_set(err, FM_EUSAGE, "init: the path is too long");
    FM_AUTO(fm_auto_close) int fd = mkostemp(made, O_CLOEXEC); /* mode 0600 */
    if (fd < 0)
        return cannot_write(err, path, errno);
    int sys = write_all(fd, fm_buf_str(text), text->len);
    enum fm_code code = sys == 0 ? check_made(made, err) : cannot_write(err, path, sys);
    if (code == FM_OK) {
        sys = put_in_place(made, path, force);
        code = sys == 0        ? FM_OK
               : sys == EEXIST ? there_already(err, path)
                               : cannot_write(err, path, sys);
    }
    if (code != FM_OK)
        (void)unlink(made);
    return code;
}

/* ---- the command ---- */

static void tell(const struct fm_cli *cli, const char *path, const struct fm_init_plan *plan,
                 size_t n_jvms, bool url)
{
    size_t out = plan->n_targets - plan->n_usable;
    char left_out[80] = "";
    if (out > 0)
        (void)snprintf(left_out, sizeof left_out, ", %zu left out (the file says why)", out);
    if (plan->n_usable == 0)
        fm_cmd_note(cli,
                    "%s written; no JVM that can be polled was found%s: it takes every one that "
                    "is started here",
                    path, left_out);
    else
        fm_cmd_note(cli, "%s written; JVMs: %zu, targets: %zu%s", path, n_jvms, plan->n_usable,
                    left_out);
    bool usual = strcmp(path, "config.ini") == 0;
    fm_cmd_note(cli, "next: %s, then firstmile check%s%s",
                url ? "look at [rest] in it" : "put the URL of your REST proxy at [rest] url",
                usual ? "" : " -c ", usual ? "" : path);
}

static enum fm_code run_init(struct fm_cmd_call *call, struct fm_err *err)
{
    const struct init_opts *own = call->opts;
    struct fm_cli *cli = call->cli;
    const char *path = call->words.n > 0            ? call->words.items[0]
                       : cli->global.config != NULL ? cli->global.config
                                                    : "config.ini";
    char host[256] = "this host";
    struct fm_init_plan plan;
    struct fm_buf text;
    size_t n_jvms = 0;
    if (cli->global.overrides.n > 0)
        return fm_err_set(err, FM_EUSAGE,
                          "init: -o is for commands that read a configuration; here there are "
                          "--url and --topic");
    FM_TRY(check_setting("--url", "rest.url", own->url, err));
    FM_TRY(check_setting("--topic", "rest.topic", own->topic, err));
    FM_TRY(look(&plan, &n_jvms, &cli->arena, err));
    (void)gethostname(host, sizeof host - 1);
    const struct fm_init_opts opts = {.host = host, .url = own->url, .topic = own->topic};
    fm_buf_init(&text, 0);
    fm_init_text(&text, &plan, &opts);
    enum fm_code code = fm_buf_code(&text, err);
    bool print = own->to_stdout || strcmp(path, "-") == 0;
    if (code == FM_OK && print)
        (void)fwrite(text.data, 1, text.len, stdout);
    else if (code == FM_OK)
        code = write_file(path, &text, own->force, err);
    if (code == FM_OK && !print)
        tell(cli, path, &plan, n_jvms, own->url != NULL);
    fm_buf_clear(&text);
    return code;
}

static const struct fm_flag flags[] = {
    {'f', "force", FM_FLAG_SWITCH, offsetof(struct init_opts, force), NULL,
     "Replace a FILE that is there."},
    {0, "stdout", FM_FLAG_SWITCH, offsetof(struct init_opts, to_stdout), NULL,
     "Print it and write nothing."},
    {0, "url", FM_FLAG_TEXT, offsetof(struct init_opts, url), "URL",
     "The REST proxy, for [rest] url; several separated by commas. Without it: sandbox, with a "
     "line to fill in."},
    {0, "topic", FM_FLAG_TEXT, offsetof(struct init_opts, topic), "TOPIC", "For [rest] topic."},
    {.name = NULL},
};
static const char *const text[] = {
    "Looks at the JVMs of this host and writes a commented configuration: a section "
    "[target:NAME] for each application, found again by its main class or jar, with the presets "
    "of the product that this betrays, and attach on where the JVM opened no connector. What "
    "cannot be polled stands there too, commented out, with the reason. It attaches to nothing "
    "and changes nothing.",
    "FILE: config.ini in the working directory unless named (or given with -c). It is written "
    "whole or not at all, readable by its owner only (mode 0600: an agent that runs as another "
    "user needs chown, or chmod 644 as long as no secret stands in it), and never over a file "
    "that is there without --force. Run it as the agent's user, or as root, to see the JVMs that "
    "the agent will see.",
    NULL,
};
static const char *const examples[] = {
    "firstmile init && firstmile check",
    "a first configuration in the working directory, and what is wrong with it",
    "sudo firstmile init /etc/firstmile/config.ini --url https://rest.example.com:8082",
    "for all JVMs of this host",
    "firstmile init --stdout",
    "only look",
    NULL,
};

const struct fm_cmd fm_cmd_init = {
    .name = "init",
    .args = "[FILE]",
    .about = "write a commented config.ini from the JVMs found here",
    .text = text,
    .examples = examples,
    .flags = flags,
    .opts_size = sizeof(struct init_opts),
    .max_words = 1,
    .run = run_init,
};

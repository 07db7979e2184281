/* config/check_priv.h - checks that sections share. Faults are noted at the place of the key. */
#ifndef FM_CONFIG_CHECK_PRIV_H
#define FM_CONFIG_CHECK_PRIV_H

#include "config/build_priv.h"

bool fm_check_starts(const char *text, const char *with);

/** user:password@ in front of a host, with a scheme or without. */
bool fm_check_has_credentials(const char *url);

/** HOST:PORT, [IPv6]:PORT */
bool fm_check_host_port(const char *text);

/** HOST:DIGITS, or a URL with them, that are no port. */
bool fm_check_bad_port(const char *text);

/** http://HOST[:PORT]... or https://..., without credentials; NULL is allowed.
 * @return false: the fault was noted */
bool fm_check_http(struct fm_build *b, const struct fm_section *section, const char *key,
                   const char *url);

/** "none" becomes NULL. */
void fm_check_proxy(struct fm_build *b, const struct fm_section *section, const char **proxy);

/** NULL is allowed. @param allowed  set of enum fm_var */
void fm_check_template(struct fm_build *b, const struct fm_section *section, const char *key,
                       const char *text, unsigned allowed);
void fm_check_topic(struct fm_build *b, const struct fm_section *section, const char *text);

/** name=template items of tags and headers. */
void fm_check_pairs(struct fm_build *b, const struct fm_section *section, const char *key,
                    const struct fm_strlist *list, unsigned allowed);

/** What an empty value of this key means. */
void fm_check_set(struct fm_build *b, struct fm_section *section, const char *key,
                  const char *text);

/** check_target.c: what a target says, what it leaves to others, what is asked of it. */
void fm_check_target(struct fm_build *b, struct fm_cfg_target *target);

#endif

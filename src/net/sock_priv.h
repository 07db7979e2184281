/* net/sock_priv.h - what both sides of net/ ask a socket. */
#ifndef FM_NET_SOCK_PRIV_H
#define FM_NET_SOCK_PRIV_H

#include <stdbool.h>
#include <stdint.h>

/* The TCP port at our end; 0: it has none. sock.c */
uint16_t fm_net_local_port(int fd);

/* Whether the address at our end is no longer one of this host. sock.c */
bool fm_net_is_homeless(int fd);

#endif

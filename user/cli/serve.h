/* SPDX-License-Identifier: Apache-2.0 */
/* serve.h - the parts of `veltair serve`: flags, rights, the life of the server. */
#ifndef VT_CLI_SERVE_H
#define VT_CLI_SERVE_H

#include <stdbool.h>

#include "base/log.h"
#include "monitor/monitor.h"
#include "server/agent.h"
#include "server/config.h"

/** What the command line says. Flags override the file, which is read again at a SIGHUP. */
struct vt_serve_args {
	const char *file; /* --config; NULL: flags only */
	bool check, verbose;
	int argc;
	char **argv;
};

/** vt_serve_parse - read the flags; exits as vt_cmd_parse() does */
void vt_serve_parse(struct vt_serve_args *a, int argc, char **argv);

/** vt_serve_config - file, then flags, checked. vt_config_fini() in every case */
int vt_serve_config(const struct vt_serve_args *a, struct vt_config *ret, struct vt_err *e);

/**
 * vt_serve_check - can this machine do what @c asks? -EINVAL, -ENOENT with one line
 * @file: where models with a line stand
 */
int vt_serve_check(const struct vt_config *c, const char *file, struct vt_err *e);

/** vt_serve_stays - what differs and only a restart changes, as "listen, cores" in @buf, which is returned; "": nothing */
const char *vt_serve_stays(const struct vt_config *now, const struct vt_config *wanted, char *buf,
			   size_t len);

/** vt_serve_user - is there such a user? 0 or -ENOENT */
int vt_serve_user(const char *user, struct vt_err *e);

/** vt_serve_give - make @user the owner of the Unix socket at @path */
int vt_serve_give(const char *user, const char *path, struct vt_err *e);

/**
 * vt_serve_give_store - make @user the owner of the store at @path, as far as it is there, and of the
 * StateDirectory= that systemd made for it. Where that may not be, vt_serve_try_store() says what it means
 */
void vt_serve_give_store(const char *user, const char *path);
/**
 * vt_serve_try_store - as @user: can times be put into the store at @path?
 * -EINVAL: there is none, and none can be made; -EACCES: it can be read only
 */
int vt_serve_try_store(const char *user, const char *path, struct vt_err *e);

/**
 * vt_serve_become - become @user for good; to own @m (NULL: none) CAP_BPF and CAP_PERFMON are kept
 * Before any other thread exists. -ENOENT: no such user; -EPERM
 */
int vt_serve_become(const char *user, struct vt_monitor *m, struct vt_err *e);

/**
 * vt_serve_move_agent - from where it is @now to where it is @wanted (host NULL: nowhere), and say so
 * @agent, @at and @now change together, or stay if the new address cannot be had; @wanted then, and the
 * old one otherwise, is in @wanted for its owner to free. The thread that ticks the agent.
 */
void vt_serve_move_agent(struct vt_agent **agent, struct vt_listener *at,
			 struct vt_config_listen *now, struct vt_config_listen *wanted,
			 const struct vt_log *log);

#endif

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
 * vt_serve_fits - what can be told at once: are there these cores and not too many, this user, do the limits agree?
 * @file: where it was set; NULL: by flags. -EINVAL, -ENOENT with one line
 */
int vt_serve_fits(const struct vt_config *c, const char *file, struct vt_err *e);

/**
 * vt_serve_store - can times be put into the profile store, if there is to be one? As whoever this process is by now
 * -EINVAL: none can be made, see vt_serve_try_store(); what can be lived with is said in @log
 */
int vt_serve_store(const struct vt_config *c, const char *file, const struct vt_log *log,
		   struct vt_err *e);

/**
 * vt_serve_no_address - @l cannot be had: bad input, as the file or the flag must change
 * But not if this machine has no such address (-EADDRNOTAVAIL) or name (-EAGAIN): it may have it in a moment.
 */
int vt_serve_no_address(const struct vt_config_listen *l, const char *file, struct vt_err *e);

/**
 * vt_serve_check - would a server start on this machine as @c asks? After vt_serve_fits()
 * Tries the addresses and, if it must be there, the monitor, becomes the user, opens what is read and looks whether
 * the rest can be written, loads each model and lets it go, adding up what all need. Leaves nothing behind. Errors as
 * those of the start, in one line.
 */
int vt_serve_check(const struct vt_config *c, const char *file, const struct vt_log *log,
		   struct vt_err *e);

/** vt_serve_no_models - say in @log that there is nothing to serve, if so */
void vt_serve_no_models(const struct vt_config *c, const char *file, const struct vt_log *log);

/** vt_serve_stays - what differs and only a restart changes, as "listen, cores" in @buf, which is returned; "": nothing */
const char *vt_serve_stays(const struct vt_config *now, const struct vt_config *wanted, char *buf,
			   size_t len);

/** vt_serve_user - is there such a user? 0 or -ENOENT */
int vt_serve_user(const char *user, struct vt_err *e);

/** vt_serve_not_bench - say more of a model that is not there: FILE:MS, as `veltair bench` takes it, is none of ours */
void vt_serve_not_bench(const struct vt_config_model *m, struct vt_err *e);

/** vt_serve_is - is this process that user's? */
bool vt_serve_is(const char *user);

/** vt_serve_give - make @user the owner of the Unix socket at @path */
int vt_serve_give(const char *user, const char *path, struct vt_err *e);

/**
 * vt_serve_give_store - make @user the owner of the store at @path, as far as it is there, and of the
 * StateDirectory= that systemd made for it. Where that may not be, vt_serve_try_store() says what it means
 */
void vt_serve_give_store(const char *user, const char *path);
/**
 * vt_serve_try_store - can times be put into the store at @path? @user: who asks, NULL: nobody was named
 * -EINVAL: its folder is not there, or @user can make none in it; -EACCES: none can be put, and that can be lived with
 */
int vt_serve_try_store(const char *user, const char *path, struct vt_err *e);

/**
 * vt_serve_become - become @user for good; to own @m (NULL: none) CAP_BPF and CAP_PERFMON are kept
 * Before any other thread exists. -ENOENT: no such user; -EPERM
 */
int vt_serve_become(const char *user, struct vt_monitor *m, struct vt_err *e);

/** vt_serve_connections - connections per address to take: max_connections, or what the limit of open files, raised, leaves */
uint64_t vt_serve_connections(const struct vt_config *c, const struct vt_log *log);

/**
 * vt_serve_cores - the cores to compute on: those that @c names, else vt_topology_default()
 * What a CPU quota means for either is said in @log. -errno: those allowed cannot be read
 */
int vt_serve_cores(const struct vt_config *c, const struct vt_log *log, struct vt_cpuset *ret,
		   struct vt_err *e);

/** vt_serve_may_come_first - while that may be raised: the limit that lets I/O threads come before workers, whoever they become */
void vt_serve_may_come_first(void);

/**
 * vt_serve_move_agent - from where it is @now to where it is @wanted (host NULL: nowhere), and say so
 * @agent, @at and @now change together, or stay if the new address cannot be had; @wanted then, and the
 * old one otherwise, is in @wanted for its owner to free. The thread that ticks the agent.
 */
void vt_serve_move_agent(struct vt_agent **agent, struct vt_listener *at,
			 struct vt_config_listen *now, struct vt_config_listen *wanted,
			 const struct vt_log *log);

#endif

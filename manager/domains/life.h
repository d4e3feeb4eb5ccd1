/* life.h - a domain's life: start, stop, what the machine reports, and finding it again */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DOMAINS_LIFE_H
#define DOMAINS_LIFE_H

#include <jansson.h>

#include "manager/domains/domain.h"

/* All of these: in a task, inside a job of the domain; 0, or -1 with e. */

/* What a machine begins from, besides its definition. */
struct life_origin {
    int image;            /* the descriptor of a saved machine at its contents; -1: none */
    const char *snapshot; /* of its disks, which has the machine's state; NULL: none */
    int started;          /* the event's detail */
};
extern const struct life_origin life_boot; /* nothing */

/* Starts it: the document is a copy of the definition, or `live` (then taken over). */
int life_start(struct domain *d, xmlNode *live, const struct life_origin *from, bool paused,
               struct vir_error *e);
int life_suspend(struct domain *d, int reason, struct vir_error *e);
int life_resume(struct domain *d, int reason, struct vir_error *e);

/* Starts it to wait for its state, which migrate-incoming tells it to take from somewhere; the document is
 * taken over. Paused (migration). */
int life_prepare(struct domain *d, xmlNode *live, struct vir_error *e);
/* Until the state is there; deadline: in loop_now(), or 0. */
int life_wait_incoming(struct domain *d, u64 deadline, struct vir_error *e);

/* What a domain of this document is run by. The monitor's path is left to the caller. 0, or -1 with e. */
struct launch;
int life_launch(struct manager *m, xmlNode *domain, struct launch *l, struct vir_error *e);

/* Needs no job: ends the process, with the reasons for state and event. Returns when it has gone. */
int life_destroy(struct domain *d, bool graceful, int reason, int detail, struct vir_error *e);

/* An internal error: what has happened, and what the program has printed at last. */
void life_quote_log(struct domain *d, const char *what, struct vir_error *e);

/* Writes into the document at which address of the PCI bus each device is. */
void life_learn_places(struct domain *d);

/* At the daemon's start: the process of the state that was read is found, or has died. */
void life_reconnect(struct domain *d);

/* Starts those that are to start with the daemon, each in a task. */
void life_autostart(struct manager *m);

/* At the daemon's end: the machines run on, nothing is known of them any more. */
void life_release_all(struct manager *m);

/* A monitor command, with the setting's time limit. arguments is used up. */
int life_command(struct domain *d, const char *command, json_t *arguments, json_t **result,
                 struct vir_error *e);
/* The machine gets the descriptor under that name; the caller keeps its own. */
int life_send_fd(struct domain *d, int fd, const char *name, struct vir_error *e);

#endif

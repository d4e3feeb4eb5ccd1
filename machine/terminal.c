/* terminal.c - the terminal in raw mode, and back in every case */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <signal.h>
#include <unistd.h>

#include "machine/terminal.h"

void terminal_set_raw(struct terminal *t, bool signals)
{
    if (!t->raw && tcgetattr(STDIN_FILENO, &t->saved) < 0)
        return;
    struct termios raw = t->saved;
    raw.c_iflag &= ~(tcflag_t)(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
    raw.c_oflag &= ~(tcflag_t)OPOST; /* the guest's own terminal has done that */
    raw.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | IEXTEN | (signals ? 0 : ISIG));
    raw.c_cflag = (raw.c_cflag & ~(tcflag_t)(CSIZE | PARENB)) | CS8;
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    t->raw = true; /* first: a signal may arrive in between */
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
}

void terminal_restore(struct terminal *t)
{
    if (!t->raw)
        return;
    t->raw = false;
    /* From the background, tcsetattr would stop us with SIGTTOU; blocked, it just works. */
    sigset_t ttou, before;
    sigemptyset(&ttou);
    sigaddset(&ttou, SIGTTOU);
    pthread_sigmask(SIG_BLOCK, &ttou, &before);
    tcsetattr(STDIN_FILENO, TCSANOW, &t->saved);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

// SPDX-License-Identifier: Apache-2.0
/* top.c - the terminal: keys, size, and giving it back as it was, whatever ends us. */
#include <curses.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/cmds.h"
#include "cli/top.h"

struct top_args {
	const char *url;
	uint64_t interval_ms, iterations;
	bool batch;
};

struct session {
	struct top_args a;
	struct vt_feed *feed;
	json_t *old;
	uint64_t old_mono_ns;
	struct vt_top *top;
	struct vt_top_text *text;
	struct vt_top_ui ui;
	bool paused, help;
	char trouble[256]; /* of the last look, "" if it went well */
};

static volatile sig_atomic_t stopped;

static void on_signal(int sig)
{
	stopped = 1;
}

enum { OPT_URL = 256 };

static const struct argp_option options[] = {
	{"url", OPT_URL, "URL", 0,
	 "http://HOST:PORT or unix:/PATH of `veltair serve` or `veltair monitor --listen`; 'local' "
	 "counts on this machine without a runtime [http://127.0.0.1:8000, else local]",
	 0},
	{"interval", 'i', "MS", 0, "time between two looks [1000]", 0},
	{"batch", 'b', NULL, 0, "plain text on standard output, for logs", 0},
	{"iterations", 'n', "N", 0, "stop after N looks [until q or Ctrl-C]", 0},
	{0},
};

static error_t parse(int key, char *arg, struct argp_state *st)
{
	struct top_args *a = st->input;

	switch (key) {
	case OPT_URL:
		a->url = arg;
		return 0;
	case 'i':
		if (vt_parse_u64(arg, 100, 3600000, &a->interval_ms))
			argp_error(st, "--interval '%.40s': give 100 to 3600000 ms", arg);
		return 0;
	case 'n':
		if (vt_parse_u64(arg, 1, 1000000000, &a->iterations))
			argp_error(st, "--iterations '%.40s': give a whole number from 1", arg);
		return 0;
	case 'b':
		a->batch = true;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(st, "unexpected argument '%.60s'", arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* ---- one look ----------------------------------------------------------------------------- */

/* The feed may go and come back: that is shown, not the end. */
static void look(struct session *s)
{
	struct vt_err e = {0};
	json_t *now = NULL;
	uint64_t t;

	s->trouble[0] = '\0';
	if (vt_feed_get(s->feed, &now, &e)) {
		snprintf(s->trouble, sizeof(s->trouble), "%.250s", e.msg);
		return;
	}
	t = vt_now_mono_ns();
	if (vt_top_rates(s->old, now, s->old ? (double)(t - s->old_mono_ns) * 1e-9 : 1e9, s->top))
		snprintf(s->trouble, sizeof(s->trouble), "%.200s: that is no state of veltair",
			 vt_feed_name(s->feed));
	json_decref(s->old);
	s->old = now;
	s->old_mono_ns = t;
}

/* ---- batch -------------------------------------------------------------------------------- */

#define TEND_MS 1000u

static void pause_ms(uint64_t ms)
{
	poll(NULL, 0, (int)ms);
}

static void pause_until(struct session *s, uint64_t t_mono_ns)
{
	uint64_t now;

	while (!stopped && (now = vt_now_mono_ns()) < t_mono_ns) {
		uint64_t ms = (t_mono_ns - now) / VT_NS_PER_MS + 1;

		pause_ms(ms < TEND_MS ? ms : TEND_MS);
		vt_feed_tend(s->feed);
	}
}

static int run_batch(struct session *s)
{
	s->ui.width = 120;
	look(s);
	for (uint64_t i = 0; !stopped && (!s->a.iterations || i < s->a.iterations); i++) {
		pause_until(s, vt_now_mono_ns() + s->a.interval_ms * VT_NS_PER_MS);
		if (stopped)
			break;
		look(s);
		if (s->trouble[0]) {
			fprintf(stderr, "veltair top: %s\n", s->trouble);
			return VT_EXIT_FAILED;
		}
		vt_top_lines(s->top, &s->ui, vt_feed_name(s->feed), s->text);
		for (int k = 0; k < s->text->n; k++) {
			const char *line = s->text->line[k].text;
			size_t n = strlen(line);

			while (n && line[n - 1] == ' ')
				n--;
			printf("%.*s\n", (int)n, line);
		}
		putchar('\n');
		if (fflush(stdout))
			return VT_EXIT_FAILED;
	}
	return VT_EXIT_OK;
}

/* ---- the screen --------------------------------------------------------------------------- */

static const char *const help_lines[] = {
	"q  quit            p  pause             h  this help",
	"<  sort left       >  sort right        r  other way round",
	"Tab  sort the other table (models, tenants)",
	"Up, Down, PgUp, PgDn, Home  scroll tenants",
	"+  slower          -  faster",
	"ADAPTED%: layers run by another version than the one fastest alone",
	"GOT, WANTED: cores a block was granted and demanded, in the mean",
};

static int attribute(enum vt_top_look look)
{
	switch (look) {
	case VT_LOOK_TITLE:
		return A_BOLD;
	case VT_LOOK_HEAD:
		return A_REVERSE;
	case VT_LOOK_BAD:
		return has_colors() ? COLOR_PAIR(1) | A_BOLD : A_BOLD;
	case VT_LOOK_DIM:
		return A_DIM;
	case VT_LOOK_PLAIN:
		return A_NORMAL;
	}
	return A_NORMAL;
}

static void draw(struct session *s)
{
	s->ui.width = COLS;
	s->ui.height = LINES;
	erase();
	if (s->old) {
		vt_top_lines(s->top, &s->ui, vt_feed_name(s->feed), s->text);
		for (int i = 0; i < s->text->n && i < LINES - 1; i++) {
			attrset(attribute(s->text->line[i].look));
			mvaddnstr(i, 0, s->text->line[i].text, -1);
		}
	}
	if (s->help)
		for (int i = 0; i < (int)(sizeof(help_lines) / sizeof(help_lines[0])); i++) {
			attrset(A_REVERSE);
			mvprintw(2 + i, 2, " %-*.*s ", COLS - 6 > 0 ? COLS - 6 : 0,
				 COLS - 6 > 0 ? COLS - 6 : 0, help_lines[i]);
		}
	attrset(s->trouble[0] ? A_BOLD : A_DIM);
	if (s->trouble[0])
		mvaddnstr(LINES - 1, 0, s->trouble, COLS - 1);
	else
		mvprintw(LINES - 1, 0, "%.*s", COLS - 1 > 0 ? COLS - 1 : 0,
			 s->paused ? "paused: p goes on"
				   : "q quit  Tab table  < > sort  r reverse  p pause  h help");
	attrset(A_NORMAL);
	refresh();
}

static void sort_by(struct session *s, int step)
{
	int n = vt_top_columns(s->ui.models), *sort = &s->ui.sort[s->ui.models];

	*sort = (*sort + n + step) % n;
	s->ui.up[s->ui.models] = *sort == 0;
}

static void scroll_by(struct session *s, int lines)
{
	int last = s->top->n_tenants - 1;

	s->ui.scroll += lines;
	if (s->ui.scroll > last)
		s->ui.scroll = last;
	if (s->ui.scroll < 0)
		s->ui.scroll = 0;
}

static void on_key(struct session *s, int key)
{
	switch (key) {
	case 'q':
		stopped = 1;
		break;
	case 'p':
		s->paused = !s->paused;
		break;
	case 'h':
	case '?':
		s->help = !s->help;
		break;
	case '\t':
		s->ui.models = s->top->serving && !s->ui.models;
		break;
	case '<':
		sort_by(s, -1);
		break;
	case '>':
		sort_by(s, 1);
		break;
	case 'r':
		s->ui.up[s->ui.models] = !s->ui.up[s->ui.models];
		break;
	case '+':
		s->a.interval_ms = s->a.interval_ms < 60000 ? s->a.interval_ms * 2 : 60000;
		break;
	case '-':
		s->a.interval_ms = s->a.interval_ms > 200 ? s->a.interval_ms / 2 : 100;
		break;
	case KEY_UP:
		scroll_by(s, -1);
		break;
	case KEY_DOWN:
		scroll_by(s, 1);
		break;
	case KEY_PPAGE:
		scroll_by(s, -10);
		break;
	case KEY_NPAGE:
		scroll_by(s, 10);
		break;
	case KEY_HOME:
		s->ui.scroll = 0;
		break;
	default: /* KEY_RESIZE: ncurses has taken the new size already */
		break;
	}
}

/* The next key, or ERR at @next_mono_ns and not before: with nobody to type curses does not wait. */
static int key_until(uint64_t next_mono_ns)
{
	uint64_t now = vt_now_mono_ns();
	int key;

	timeout(now < next_mono_ns ? (int)((next_mono_ns - now) / VT_NS_PER_MS) + 1 : 0);
	key = getch();
	now = vt_now_mono_ns();
	if (key == ERR && !stopped && now < next_mono_ns)
		pause_ms((next_mono_ns - now) / VT_NS_PER_MS + 1);
	return key;
}

static int run_screen(struct session *s)
{
	uint64_t next = 0, looks = 0;

	if (!isatty(STDOUT_FILENO) || !initscr()) {
		fprintf(stderr, "veltair top: standard output is no terminal; use --batch\n");
		return VT_EXIT_USAGE;
	}
	cbreak();
	noecho();
	keypad(stdscr, TRUE);
	curs_set(0);
	if (has_colors() && start_color() == OK && use_default_colors() == OK)
		init_pair(1, COLOR_RED, -1);
	while (!stopped) {
		uint64_t now = vt_now_mono_ns();
		int key;

		if (now >= next) {
			if (!s->paused) {
				look(s);
				looks++;
			}
			next = now + s->a.interval_ms * VT_NS_PER_MS;
		}
		if (s->a.iterations && looks > s->a.iterations)
			break;
		draw(s);
		vt_feed_tend(s->feed);
		now = vt_now_mono_ns() + TEND_MS * VT_NS_PER_MS;
		key = key_until(now < next ? now : next);
		if (key != ERR)
			on_key(s, key);
	}
	endwin();
	return VT_EXIT_OK;
}

int vt_cmd_top(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.doc = "What runs on this machine, who keeps its target, who presses on whom, "
		       "second by second.\vKeys are shown at the bottom; h explains the columns.",
	};
	struct sigaction sa = {.sa_handler = on_signal};
	struct session s = {.a = {.interval_ms = 1000}, .ui = {.sort = {1, 2}}};
	struct vt_err e = {0};
	int rc;

	vt_cmd_parse(&argp, argc, argv, &s.a);
	setlocale(LC_CTYPE, "");
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
	s.top = calloc(1, sizeof(*s.top));
	s.text = malloc(sizeof(*s.text));
	rc = !s.top || !s.text ? vt_fail(&e, -ENOMEM, "out of memory")
			       : vt_feed_open(&s.feed, s.a.url, &e);
	if (rc)
		rc = vt_cmd_fail("top", &e);
	else
		rc = s.a.batch ? run_batch(&s) : run_screen(&s);
	json_decref(s.old);
	vt_feed_close(s.feed);
	free(s.top);
	free(s.text);
	return rc;
}

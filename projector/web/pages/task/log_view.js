// Lines of a log, each a row of the DOM. What a task wrote is only ever put in as text.
//
// A window of the log is held, not all of it: scrolled to either end, it asks for more ("older",
// "newer") and lets go of rows at the other. States of one progress bar take one row.

const MOST = 4000;

export default {
  template: `<div class="evq-log" tabindex="0" @scroll.passive="scrolled"></div>`,
  created() {
    this.window = { atStart: true, atEnd: true };
    this.following = true;
    this.asked = false;
    this.search = "";
  },
  methods: {
    reset(lines, { at_start, at_end, search, follow, show, picked }) {
      this.window = { atStart: at_start, atEnd: at_end };
      this.search = search.toLowerCase();
      this.following = follow;
      this.picked = picked;
      this.asked = false;
      this.$el.replaceChildren();
      for (const line of lines) this.put(line);
      if (show !== null) this.scrollTo(show);
      else if (follow) this.toEnd();
    },
    append(lines) {
      if (!this.window.atEnd) return;
      for (const line of lines) this.put(line);
      if (!this.following) return;
      while (this.$el.childElementCount > MOST) {
        this.$el.firstElementChild.remove();
        this.window.atStart = false;
      }
      this.toEnd();
    },
    older(lines, atStart) {
      const { scrollHeight, scrollTop } = this.$el;
      this.window.atStart = atStart;
      const before = this.$el.firstElementChild;
      for (const line of lines) this.put(line, before);
      this.$el.scrollTop = scrollTop + this.$el.scrollHeight - scrollHeight;
      while (this.$el.childElementCount > MOST) {
        this.$el.lastElementChild.remove();
        this.window.atEnd = false;
        this.setFollowing(false);
      }
      this.asked = false;
    },
    newer(lines, atEnd) {
      this.window.atEnd = atEnd;
      for (const line of lines) this.put(line);
      const { scrollTop } = this.$el;
      let gone = 0;
      while (this.$el.childElementCount > MOST) {
        gone += this.$el.firstElementChild.offsetHeight;
        this.$el.firstElementChild.remove();
        this.window.atStart = false;
      }
      this.$el.scrollTop = scrollTop - gone;
      this.asked = false;
    },
    pick(lines) {
      this.picked = lines;
      for (const row of this.$el.children) this.mark(row);
    },
    toEnd() {
      this.$el.scrollTop = this.$el.scrollHeight;
    },

    put([number, at, stream, bar, parts], before = null) {
      const last = before ? before.previousElementSibling : this.$el.lastElementChild;
      const row = this.row(number, at, stream, bar, parts);
      if (bar !== null && last && last.dataset.bar === bar && last.dataset.stream === stream)
        last.replaceWith(row);
      else this.$el.insertBefore(row, before);
    },
    row(number, at, stream, bar, parts) {
      const row = document.createElement("div");
      row.className = `evq-line evq-${stream}`;
      row.dataset.number = number;
      row.dataset.stream = stream;
      if (bar !== null) row.dataset.bar = bar;
      const place = document.createElement("span");
      place.className = "evq-number";
      place.textContent = number + 1;
      place.onclick = (event) => this.$emit("pick", { number, extend: event.shiftKey });
      const time = document.createElement("span");
      time.className = "evq-time";
      time.textContent = new Date(at).toLocaleTimeString([], { hour12: false });
      const text = document.createElement("span");
      text.className = "evq-text";
      for (const [words, look] of parts) this.write(text, words, look);
      row.append(place, time, text);
      this.mark(row);
      return row;
    },
    write(into, words, look) {
      const lower = words.toLowerCase();
      let begin = 0;
      const add = (text, classes) => {
        if (!text) return;
        const span = document.createElement("span");
        if (classes) span.className = classes;
        span.textContent = text;
        into.append(span);
      };
      // Where lower case has another length, places would be wrong.
      if (this.search && lower.length === words.length) {
        for (let at; (at = lower.indexOf(this.search, begin)) >= 0; begin = at + this.search.length) {
          add(words.slice(begin, at), look);
          add(words.slice(at, at + this.search.length), `${look} evq-hit`);
        }
      }
      add(words.slice(begin), look);
    },
    mark(row) {
      const number = Number(row.dataset.number);
      const [first, last] = this.picked ?? [];
      row.classList.toggle("evq-picked", first <= number && number <= last);
    },
    scrollTo(number) {
      const rows = [...this.$el.children];
      const row = rows.find((one) => Number(one.dataset.number) >= number) ?? rows.at(-1);
      if (row) this.$el.scrollTop = row.offsetTop - this.$el.offsetTop - this.$el.clientHeight / 3;
    },
    scrolled() {
      const { scrollTop, scrollHeight, clientHeight } = this.$el;
      const below = scrollHeight - clientHeight - scrollTop;
      this.setFollowing(this.window.atEnd && below < 24);
      const rows = this.$el.children;
      if (this.asked || !rows.length) return;
      if (scrollTop < 400 && !this.window.atStart) this.ask("older", rows[0]);
      else if (below < 400 && !this.window.atEnd) this.ask("newer", rows[rows.length - 1]);
    },
    ask(what, row) {
      this.asked = true;
      this.$emit(what, { number: Number(row.dataset.number) });
    },
    setFollowing(on) {
      if (on === this.following) return;
      this.following = on;
      this.$emit("following", { on });
    },
  },
};

// A page that is served while the run goes asks whether the run's files have changed, and shows them anew. Who is
// reading responses or typing is asked first.
const reading = () =>
  document.querySelector("details.group[open], details.rollout[open]") || document.activeElement?.closest(".filters") || String(getSelection());
const ask = async () => {
  try {
    const state = await (await fetch("state", { cache: "no-store" })).json();
    document.getElementById("live-lost")?.remove();
    if (state.token === document.body.dataset.live) return;
    if (!reading()) return location.reload();
    if (document.getElementById("live-news")) return;
    const news = make("button", "live-news", "The run went on: show it");
    news.id = "live-news"; news.type = "button";
    news.addEventListener("click", () => location.reload());
    document.body.append(news);
  } catch {
    if (document.getElementById("live-lost")) return;
    const lost = make("p", "live-news", "The page's server has ended: this is its last state.");
    lost.id = "live-lost";
    document.body.append(lost);
  }
};
setInterval(ask, 4000);

// Follows what is being done, a look a second, and shows the whole page when it is over.
const place = document.querySelector("[data-follow]");
while (place) {
  await new Promise((done) => setTimeout(done, 1000));
  const answer = await fetch(place.dataset.follow, { headers: { "hx-request": "true" } });
  if (!answer.ok) break;
  place.innerHTML = await answer.text();
  if (!place.querySelector("[data-open]")) {
    location.reload();
    break;
  }
}

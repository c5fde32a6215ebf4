// The official TypeScript client pays the official express server, which uses our facilitator.
// Reads one JSON object from the command line, prints one to the standard output.
import { HTTPFacilitatorClient } from "@x402/core/server";
import { ExactEvmScheme } from "@x402/evm";
import { ExactEvmScheme as ExactEvmServerScheme } from "@x402/evm/exact/server";
import { paymentMiddleware, x402ResourceServer } from "@x402/express";
import { decodePaymentResponseHeader, wrapFetchWithPaymentFromConfig } from "@x402/fetch";
import express from "express";
import { privateKeyToAccount } from "viem/accounts";

const { facilitator, network, payTo, privateKey, prices } = JSON.parse(process.argv[2]);

const app = express();
const server = new x402ResourceServer(new HTTPFacilitatorClient({ url: facilitator })).register(
  network,
  new ExactEvmServerScheme(),
);
const routes = Object.fromEntries(
  prices.map((price, place) => [
    `GET /paid/${place}`,
    { accepts: { scheme: "exact", price, network, payTo }, description: "a paid page" },
  ]),
);
app.use(paymentMiddleware(routes, server));
let served = 0;
app.get("/paid/:place", (_request, response) => {
  served += 1;
  response.json({ page: "what was paid for" });
});

const listener = app.listen(0, "127.0.0.1", async () => {
  const base = `http://127.0.0.1:${listener.address().port}`;
  try {
    const pay = wrapFetchWithPaymentFromConfig(fetch, {
      schemes: [{ network, client: new ExactEvmScheme(privateKeyToAccount(privateKey)) }],
    });
    const answers = await Promise.all(
      prices.map(async (_, place) => {
        const response = await pay(`${base}/paid/${place}`);
        const header = response.headers.get("PAYMENT-RESPONSE");
        return {
          status: response.status,
          body: await response.text(),
          receipt: header && decodePaymentResponseHeader(header),
        };
      }),
    );
    console.log(JSON.stringify({ answers, served }));
  } finally {
    listener.close();
  }
});

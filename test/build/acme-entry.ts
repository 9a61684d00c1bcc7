// A program that makes what a first order at an ACME server needs.
const { Client, axios, crypto } = await import('acme-client');

const accountKey = await crypto.createPrivateEcdsaKey();
const [, csr] = await crypto.createCsr(
  { altNames: ['shop.example.com'] },
  await crypto.createPrivateEcdsaKey(),
);
const client = new Client({ directoryUrl: 'https://127.0.0.1:1/dir', accountKey });
process.stdout.write(
  `${crypto.readCsrDomains(csr).altNames} ${typeof client.auto} ${typeof axios}\n`,
);

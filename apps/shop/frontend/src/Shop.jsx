import { useCallback, useEffect, useState } from "react";

const REVISION = "0";

async function fetchProducts() {
  const response = await fetch("/api/products");
  if (!response.ok) throw new Error(`the shop answered ${response.status}`);
  return (await response.json()).products;
}

async function addProduct(name, cents) {
  const response = await fetch("/api/products", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ name, cents }),
  });
  if (!response.ok) throw new Error((await response.json()).error);
}

function price(cents) {
  return new Intl.NumberFormat("en", { style: "currency", currency: "EUR" }).format(cents / 100);
}

export function Shop() {
  const [products, setProducts] = useState(null);
  const [error, setError] = useState("");

  const load = useCallback(() => {
    fetchProducts().then(setProducts, (reason) => setError(reason.message));
  }, []);
  useEffect(load, [load]);

  function add(form) {
    const name = form.get("name");
    const cents = Math.round(Number(form.get("price")) * 100);
    addProduct(name, cents).then(load, (reason) => setError(reason.message));
  }

  if (error) return <p role="alert">{error}</p>;
  if (!products) return <p>Loading…</p>;
  return (
    <main data-revision={REVISION}>
      <h1>Weights and scales</h1>
      <ul>
        {products.map(({ id, name, cents }) => (
          <li key={id}>
            {name}: {price(cents)}
          </li>
        ))}
      </ul>
      <form action={add}>
        <input name="name" placeholder="Name" required />
        <input name="price" type="number" min="0" step="0.01" placeholder="Price" required />
        <button>Add</button>
      </form>
    </main>
  );
}

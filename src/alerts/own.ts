/** What applies to a tenant: its own, or where it has none, the default, which is that of the tenant ''. */
export function ownOrDefault<T>(own: (tenantId: string) => T | undefined, tenantId: string): T | undefined {
  return own(tenantId) ?? own('');
}
